// Tests include/gptq/kernels/linear.hpp: what re-tiling keeps, and what it refuses.
#include <gptq/kernels/linear.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>

#include <gptq/kernels/isa.hpp>

#include "support/catch.hpp"
#include "support/random_layer.hpp"
#include "support/without_last.hpp"

using support::random_layer;

namespace {

template <class Scale>
void check_parameters(const gptq::linear& layer, const gptq::packed_linear& p) {
    for (std::size_t o = 0; o < p.out_features; ++o)
        for (std::size_t k = 0; k < p.groups; ++k) {
            const auto tile = layer.tile(o / gptq::tile_outputs);
            const std::size_t at = k * gptq::tile_outputs + o % gptq::tile_outputs;
            CHECK(gptq::to_float(reinterpret_cast<const Scale*>(tile.scales)[at]) == gptq::scale_at(p, o, k));
            CHECK(tile.zeros[at] == gptq::zero_at(p, o, k));
        }
}

}  // namespace

TEST_CASE("a layer keeps its sizes, bits, scales and zero points", "[kernels]") {
    std::mt19937 random(51);
    for (const auto zeros : {gptq::zero_format::v1, gptq::zero_format::v2})
        for (const auto scales : {gptq::scale_type::f16, gptq::scale_type::bf16, gptq::scale_type::f32}) {
            const auto packed = random_layer(
                random, {.out = 37, .in = 130, .bits = 3, .group_size = 32, .zeros = zeros, .scales = scales});
            const gptq::linear layer(packed);
            CHECK(layer.out_features() == 37);
            CHECK(layer.in_features() == 130);
            CHECK(layer.bits() == 3);
            CHECK(layer.tiles() == 3);
            CHECK(layer.scales_stored_as() == scales);
            gptq::visit_scale_type(scales, [&](auto stored) { check_parameters<decltype(stored)>(layer, packed); });
        }
}

TEST_CASE("scales that do not fit their stored type are kept in full", "[kernels]") {
    std::mt19937 random(52);
    auto packed = random_layer(random, {.out = 16, .in = 64, .group_size = 64, .scales = gptq::scale_type::f16});
    packed.scales[5] = 0.1F;
    const gptq::linear layer(packed);
    CHECK(layer.scales_stored_as() == gptq::scale_type::f32);
    check_parameters<float>(layer, packed);
}

TEST_CASE("4 bits in groups of 128 take 4.19 bits a weight", "[kernels]") {
    std::mt19937 random(53);
    const gptq::linear layer(random_layer(random, {.out = 64, .in = 1024}));
    CHECK(layer.bytes() == 64 * 1024 / 2 + 64 * 8 * (2 + 1));
}

TEST_CASE("an inconsistent layer is refused", "[kernels]") {
    std::mt19937 random(54);
    const auto good = random_layer(random, {.out = 16, .in = 64, .group_size = 32});
    CHECK_NOTHROW(gptq::linear(good));
    auto bad = good;
    bad.g_idx[3] = 2;
    CHECK_THROWS_AS(gptq::linear(bad), gptq::shape_error);
    bad = good;
    bad.qweight = without_last(bad.qweight);
    CHECK_THROWS_AS(gptq::linear(bad), gptq::shape_error);
    bad = good;
    bad.bits = 5;
    CHECK_THROWS_AS(gptq::linear(bad), gptq::option_error);
    bad = good;
    bad.scales[0] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_AS(gptq::linear(bad), gptq::numeric_error);
}
