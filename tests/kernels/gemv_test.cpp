// Tests include/gptq/kernels/gemv.hpp, and the tile kernel below it, on every instruction set of this build.
#include <gptq/kernels/gemv.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include <gptq/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/isas.hpp"
#include "support/random_layer.hpp"
#include "support/tensor_view.hpp"

using support::any_options;
using support::describe;
using support::expected;
using support::layer_options;
using support::normal_values;
using support::random_layer;

namespace {

/// Equal to the bit, NaN included.
bool same(std::span<const float> a, std::span<const float> b) {
    return std::ranges::equal(
        a, b, [](float x, float y) { return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y); });
}

/// The first output beyond the documented error, or -1.
template <class Digits, class Isa>
std::ptrdiff_t first_wrong_output(const gptq::packed_linear& p, std::span<const float> x) {
    const gptq::linear layer(p);
    std::vector<float> y(p.out_features, -1);
    gptq::gemv<Digits, Isa>(layer, x, y);
    for (std::size_t o = 0; o < y.size(); ++o) {
        const auto want = expected(p, layer.layout(), Digits::limit, x, o);
        if (!(std::abs(static_cast<double>(y[o]) - want.value) <= want.tolerance))
            return static_cast<std::ptrdiff_t>(o);
    }
    return -1;
}

template <class Isa>
void check_all_digits(const gptq::packed_linear& p, std::span<const float> x) {
    REQUIRE(first_wrong_output<gptq::digits<1>, Isa>(p, x) == -1);
    REQUIRE(first_wrong_output<gptq::digits<2>, Isa>(p, x) == -1);
    REQUIRE(first_wrong_output<gptq::digits<3>, Isa>(p, x) == -1);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("an outlier costs accuracy in its own block only", "[kernels]", support::tested_isas) {
    std::mt19937 random(12);
    const auto packed = random_layer(random, {.out = 20, .in = 512, .group_size = gptq::per_row});
    auto x = normal_values(random, 512);
    x[200] = 1e4F;
    check_all_digits<TestType>(packed, x);  // the bound takes each block's own largest value
}

TEMPLATE_LIST_TEST_CASE("activations of any size that a float can have are within the error", "[kernels]",
                        support::tested_isas) {
    std::mt19937 random(13);
    for (const float size : {1e-45F, 1e-38F, 1e-31F, 1e-30F, 1e-20F, 1e20F, 1e34F}) {
        INFO("size " << size);
        const auto packed = random_layer(random, {.out = 20, .in = 256, .bits = 3, .group_size = 64});
        auto x = normal_values(random, 256);
        for (float& v : x) v *= size;
        check_all_digits<TestType>(packed, x);
    }
    const auto packed = random_layer(random, {.out = 20, .in = 256, .bias = true});
    std::vector<float> y(20, -1);
    gptq::gemv<gptq::digits<2>, TestType>(gptq::linear(packed), std::vector<float>(256, 0.0F), y);
    CHECK(y == packed.bias);
}

TEMPLATE_LIST_TEST_CASE("the largest codes, zeros and activations do not overflow", "[kernels]", support::tested_isas) {
    std::mt19937 random(14);
    for (const unsigned bits : {2U, 3U, 4U, 8U})
        for (const bool codes : {false, true})
            for (const bool zeros : {false, true})
                for (const float sign : {-1.0F, 1.0F}) {
                    auto packed = random_layer(random, {.out = 17, .in = 256, .bits = bits});
                    packed.qweight = std::vector(packed.qweight.size(), codes ? ~0U : 0U);
                    std::ranges::fill(packed.qzeros, zeros ? ~0U : 0U);
                    INFO(bits << " bits, codes " << codes << ", zeros " << zeros << ", x " << sign);
                    check_all_digits<TestType>(packed, std::vector<float>(256, sign));
                    auto mixed = normal_values(random, 256);  // low digits of -128 as well as 127
                    for (float& v : mixed) v = sign * (1 - 0.004F * std::abs(v));
                    check_all_digits<TestType>(packed, mixed);
                }
}

TEMPLATE_LIST_TEST_CASE("every instruction set gives the portable one's bits", "[kernels]", support::tested_isas) {
    std::mt19937 random(15);
    for (int i = 0; i < 200; ++i) {
        const auto options = any_options(random);
        INFO("case " << i << ": " << describe(options));
        const gptq::linear layer(random_layer(random, options));
        const auto x = normal_values(random, options.in);
        std::vector<float> y(options.out), portable(options.out);
        const auto compare = [&]<class Digits>(Digits) {
            gptq::gemv<Digits, TestType>(layer, x, y);
            gptq::gemv<Digits, gptq::isa::portable>(layer, x, portable);
            REQUIRE(same(y, portable));
        };
        compare(gptq::digits<1>{});
        compare(gptq::digits<2>{});
        compare(gptq::digits<3>{});
    }
}

TEMPLATE_LIST_TEST_CASE("a row of gemm is gemv of that row, bit for bit", "[kernels]", support::tested_isas) {
    std::mt19937 random(16);
    for (const std::size_t tokens : {0U, 1U, 2U, 3U, 4U, 5U, 7U, 33U, 70U}) {
        const auto options = any_options(random);
        INFO(tokens << " tokens, " << describe(options));
        const gptq::linear layer(random_layer(random, options));
        const auto x = normal_values(random, tokens * options.in);
        std::vector<float> y(tokens * options.out), row(options.out);
        const auto compare = [&]<class Digits>(Digits) {
            gptq::gemm<Digits, TestType>(layer, gptq::view_of(x.data(), tokens, options.in),
                                         gptq::view_of(y.data(), tokens, options.out));
            for (std::size_t t = 0; t < tokens; ++t) {
                gptq::gemv<Digits, TestType>(layer, std::span(x).subspan(t * options.in, options.in), row);
                REQUIRE(same(row, std::span(y).subspan(t * options.out, options.out)));
            }
        };
        compare(gptq::digits<1>{});
        compare(gptq::digits<2>{});
        compare(gptq::digits<3>{});
    }
}

TEST_CASE("gemm takes any strides and writes nothing between", "[kernels]") {
    std::mt19937 random(17);
    constexpr std::size_t tokens = 5, in = 128, out = 20;
    for (const bool act_order : {false, true}) {
        const gptq::linear layer(
            random_layer(random, {.out = out, .in = in, .group_size = 32, .act_order = act_order}));
        const auto x = normal_values(random, tokens * in);
        std::vector<float> plain(tokens * out);
        gptq::gemm(layer, gptq::view_of(x.data(), tokens, in), gptq::view_of(plain.data(), tokens, out));

        std::vector<float> columns(tokens * in * 2), scattered(tokens * out * 2 + out, -1);
        const gptq::matrix_view<float> x_by_columns{columns.data(), tokens, in, 2, 2 * tokens};
        const gptq::matrix_view<float> y_by_columns{scattered.data(), tokens, out, 1, tokens + 1};
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t i = 0; i < in; ++i) x_by_columns(t, i) = x[t * in + i];
        gptq::gemm(layer, x_by_columns, y_by_columns);
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t o = 0; o < out; ++o) CHECK(y_by_columns(t, o) == plain[t * out + o]);
        CHECK(std::ranges::count(scattered, -1.0F) == static_cast<std::ptrdiff_t>(scattered.size() - tokens * out));
    }
}

TEST_CASE("views of a tensor are read and written where they begin, not where the tensor does", "[kernels]") {
    std::mt19937 random(29);
    constexpr std::size_t tokens = 3, in = 64, out = 20;
    const gptq::linear layer(random_layer(random, {.out = out, .in = in, .group_size = 32}));
    auto x = normal_values(random, tokens * in);
    std::vector<float> plain(tokens * out), y(tokens * out), from_digits(2 * out);
    gptq::gemm(layer, gptq::view_of(x.data(), tokens, in), gptq::view_of(plain.data(), tokens, out));

    gptq::gemv(layer, support::tensor_view{x, 2, 1, in}, support::tensor_view{y, 1, 1, out});
    CHECK(same(std::span(y).subspan(out, out), std::span(plain).subspan(2 * out)));
    CHECK(std::ranges::count(y, 0.0F) == std::ptrdiff_t{2 * out});

    gptq::activations<> last_two(layer.layout());
    last_two.assign(support::tensor_view{x, 1, 2, in});
    gptq::gemm(layer, last_two, gptq::view_of(from_digits.data(), 2, out));
    CHECK(same(from_digits, std::span(plain).subspan(out)));
}

TEST_CASE("results do not depend on the executor", "[kernels]") {
    std::mt19937 random(18);
    constexpr std::size_t tokens = 3;
    for (int i = 0; i < 20; ++i) {
        const auto options = any_options(random);
        const gptq::linear layer(random_layer(random, options));
        const auto x = normal_values(random, tokens * options.in);
        const auto in = gptq::view_of(x.data(), tokens, options.in);
        std::vector<float> serial(tokens * options.out);
        gptq::gemm(layer, in, gptq::view_of(serial.data(), tokens, options.out));
        for (const std::size_t threads : {1U, 2U, 3U, 7U}) {
            INFO(threads << " threads, " << describe(options));
            gptq::thread_pool pool(threads);
            std::vector<float> y(serial.size());
            const auto out = gptq::view_of(y.data(), tokens, options.out);
            gptq::gemm(layer, in, out, pool);
            CHECK(same(y, serial));
            gptq::gemm(layer, in, out, gptq::threads{threads});
            CHECK(same(y, serial));
            gptq::gemv(layer, std::span(x).first(options.in), out.row(0), pool);
            CHECK(same(y, serial));
        }
    }
}

TEMPLATE_LIST_TEST_CASE("a NaN or an infinity makes its own token's outputs NaN, and no other's", "[kernels]",
                        support::tested_isas) {
    std::mt19937 random(19);
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const gptq::linear layer(random_layer(random, {.out = 20, .in = 256}));
    for (const float poison : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
        auto x = normal_values(random, 3 * 256);
        x[256 + 100] = poison;
        std::vector<float> y(3 * 20);
        const auto poisoned_row_only = [&]<class Digits>(Digits) {
            gptq::gemm<Digits, TestType>(layer, gptq::view_of(x.data(), 3, 256), gptq::view_of(y.data(), 3, 20));
            for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y[i]) == (i / 20 == 1));
        };
        poisoned_row_only(gptq::digits<1>{});
        poisoned_row_only(gptq::digits<2>{});
        poisoned_row_only(gptq::digits<3>{});
    }
}

TEST_CASE("wrong sizes are refused before anything is written", "[kernels]") {
    std::mt19937 random(20);
    const gptq::linear layer(random_layer(random, {.out = 20, .in = 256}));
    const std::vector<float> x(3 * 256, 1);
    std::vector<float> y(3 * 20, -1);
    const auto in = gptq::view_of(x.data(), 3, 256);
    const auto out = gptq::view_of(y.data(), 3, 20);
    CHECK_THROWS_WITH(gptq::gemv(layer, std::span(x).first(255), out.row(0)), "gemv: size of x is 255, expected 256");
    CHECK_THROWS_WITH(gptq::gemv(layer, in.row(0), std::span(y).first(21)), "gemv: size of y is 21, expected 20");
    CHECK_THROWS_AS(gptq::gemm(layer, gptq::view_of(x.data(), 3, 255), out), gptq::shape_error);
    CHECK_THROWS_AS(gptq::gemm(layer, in, gptq::view_of(y.data(), 3, 19)), gptq::shape_error);
    CHECK_THROWS_AS(gptq::gemm(layer, in, out.rows_from(0, 2)), gptq::shape_error);

    gptq::activations<> a(layer.layout());
    CHECK_THROWS_WITH(gptq::gemv(layer, a, out.row(0)), "gemm: rows of y is 1, expected 0");
    a.assign(in);
    CHECK_THROWS_AS(gptq::gemm(layer, a, out.rows_from(0, 2)), gptq::shape_error);
    CHECK_THROWS_AS(gptq::gemm(layer, a, gptq::view_of(y.data(), 3, 19)), gptq::shape_error);
    CHECK(std::ranges::count(y, -1.0F) == 60);
}

TEST_CASE("activations serve every layer of their layout, whatever its outputs", "[kernels]") {
    std::mt19937 random(21);
    auto queries = random_layer(random, {.out = 40, .in = 200, .bits = 4, .group_size = 64, .act_order = true});
    auto values = random_layer(random, {.out = 9, .in = 200, .bits = 4, .group_size = 64, .bias = true});
    values.g_idx = queries.g_idx;
    const gptq::linear q(queries), v(values);
    const auto x = normal_values(random, 40 * 200);
    gptq::activations<> a(q.layout());
    for (const std::size_t tokens : {1U, 2U, 40U})
        for (const gptq::linear* layer : {&q, &v}) {
            const std::size_t out = layer->out_features();
            std::vector<float> direct(tokens * out), shared(tokens * out);
            gptq::gemm(*layer, gptq::view_of(x.data(), tokens, 200), gptq::view_of(direct.data(), tokens, out));
            a.assign(gptq::view_of(x.data(), tokens, 200));
            gptq::gemm(*layer, a, gptq::view_of(shared.data(), tokens, out));
            CHECK(same(direct, shared));
            a.assign(std::span(x).first(200));
            gptq::gemv(*layer, a, std::span(shared).first(out));
            CHECK(same(direct, shared));
        }
}

TEST_CASE("activations of another layout are refused", "[kernels]") {
    std::mt19937 random(23);
    auto packed = random_layer(random, {.out = 9, .in = 200, .group_size = 64, .act_order = true});
    const auto bytes = random_layer(random, {.out = 9, .in = 200, .bits = 8, .group_size = 64});
    gptq::activations<> a(gptq::linear(packed).layout());
    a.assign(normal_values(random, 200));
    std::vector<float> y(9, -1);
    std::swap(packed.g_idx[0], *std::ranges::find_if(packed.g_idx, [&](auto g) { return g != packed.g_idx[0]; }));
    CHECK_THROWS_WITH(gptq::gemv(gptq::linear(packed), a, y),
                      "gemm: the activations are not of the layer's layout (another g_idx or other bits); quantize "
                      "them for this layer");
    CHECK_THROWS_AS(gptq::gemv(gptq::linear(bytes), a, y), gptq::shape_error);
    CHECK(y == std::vector<float>(9, -1));
}

namespace {

/// Portable, but for a partial sum that is full after a number of steps that divides no block.
struct three_steps : gptq::isa::portable {
    static constexpr std::size_t steps_per_partial(int) noexcept { return 3; }
};

}  // namespace

TEST_CASE("an instruction set may give any number of steps to a partial sum", "[kernels]") {
    std::mt19937 random(25);
    const gptq::linear layer(random_layer(random, {.out = 16, .in = 256}));
    const auto x = normal_values(random, 256);
    std::vector<float> y(16), portable(16);
    gptq::gemv<gptq::digits<2>, three_steps>(layer, x, y);
    gptq::gemv<gptq::digits<2>, gptq::isa::portable>(layer, x, portable);
    CHECK(same(y, portable));
}

namespace {

/// Counts the calls that reach it.
struct counting_executor {
    std::size_t calls = 0;
    [[nodiscard]] static std::size_t concurrency() noexcept { return 4; }
    void for_each(std::size_t count, auto&& task) {
        ++calls;
        for (std::size_t i = 0; i < count; ++i) task(i);
    }
};

}  // namespace

TEST_CASE("what takes less time than waking a thread stays on this one", "[kernels]") {
    std::mt19937 random(24);
    counting_executor workers;
    const gptq::linear small(random_layer(random, {.out = 256, .in = 512})),
        large(random_layer(random, {.out = 4096, .in = 1024}));
    std::vector<float> x = normal_values(random, 32 * 1024), y(4096 * 32);
    gptq::gemv(small, std::span(x).first(512), std::span(y).first(256), workers);
    CHECK(workers.calls == 0);
    gptq::gemv(large, std::span(x).first(1024), std::span(y).first(4096), workers);
    CHECK(workers.calls == 1);
    gptq::gemm(small, gptq::view_of(x.data(), 32, 512), gptq::view_of(y.data(), 32, 256), workers);
    CHECK(workers.calls == 2);  // many tokens are much work again
}
