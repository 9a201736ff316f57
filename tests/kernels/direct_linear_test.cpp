// Tests include/gptq/kernels/direct_linear.hpp: the product from a checkpoint's own layout.
#include <gptq/kernels/direct_linear.hpp>

#include <cstddef>
#include <random>
#include <vector>

#include <gptq/core/thread_pool.hpp>
#include <gptq/kernels/gemv.hpp>

#include "support/catch.hpp"
#include "support/isas.hpp"
#include "support/random_layer.hpp"

using support::normal_values;
using support::random_layer;

TEMPLATE_LIST_TEST_CASE("a checkpoint's own layout gives the bits of the re-tiled one", "[kernels]",
                        support::tested_isas) {
    std::mt19937 random(81);
    for (int i = 0; i < 300; ++i) {
        const auto options = support::any_options(random);
        INFO("case " << i << ": " << support::describe(options));
        const auto packed = random_layer(random, options);
        const gptq::linear tiled(packed);
        const gptq::direct_linear direct(packed);
        REQUIRE(direct.layout() == tiled.layout());
        const auto x = normal_values(random, options.in);
        std::vector<float> y(options.out), z(options.out);
        gptq::gemv<gptq::digits<3>, TestType>(tiled, x, y);
        gptq::gemv<gptq::digits<3>, TestType>(direct, x, z);
        REQUIRE(y == z);
    }
}

TEST_CASE("layers wider than a panel are right on any number of threads", "[kernels]") {
    std::mt19937 random(82);
    for (const unsigned bits : {2U, 3U, 4U, 8U})
        for (const std::size_t out : {1024U, 1040U, 3000U}) {
            const auto packed = random_layer(random, {.out = out, .in = 1024, .bits = bits, .bias = true});
            const gptq::linear tiled(packed);
            const gptq::direct_linear direct(packed);
            const auto x = normal_values(random, 2 * 1024);
            std::vector<float> y(2 * out), z(2 * out);
            gptq::gemm(tiled, gptq::view_of(x.data(), 2, 1024), gptq::view_of(y.data(), 2, out));
            for (const std::size_t threads : {1U, 2U, 3U}) {
                gptq::thread_pool pool(threads);
                gptq::gemm(direct, gptq::view_of(x.data(), 2, 1024), gptq::view_of(z.data(), 2, out), pool);
                CHECK(y == z);
            }
        }
}

TEST_CASE("the codes stay where they are", "[kernels]") {
    std::mt19937 random(83);
    const auto packed = random_layer(random, {.out = 64, .in = 256});
    const gptq::direct_linear direct(packed);
    CHECK(direct.is_direct());
    CHECK(direct.block(0, 0)[0] == packed.qweight.data());
    CHECK(direct.out_features() == 64);
    CHECK(direct.in_features() == 256);
    CHECK(direct.bits() == 4);
    CHECK(gptq::direct_linear(random_layer(random, {.out = 67, .in = 96, .group_size = 32})).is_direct());
    CHECK_FALSE(gptq::direct_linear(random_layer(random, {.out = 64, .in = 256, .act_order = true})).is_direct());
    CHECK_FALSE(gptq::direct_linear(random_layer(random, {.out = 64, .in = 256, .group_size = 16})).is_direct());
}

TEST_CASE("an inconsistent layer is not multiplied where it lies", "[kernels]") {
    std::mt19937 random(84);
    auto bad = random_layer(random, {.out = 16, .in = 64, .group_size = 32});
    bad.g_idx[3] = 2;
    CHECK_THROWS_AS(gptq::direct_linear(bad), gptq::shape_error);
}
