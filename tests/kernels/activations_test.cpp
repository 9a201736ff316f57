// Tests include/gptq/kernels/activations.hpp: digits, their sums, and the error of one activation.
#include <gptq/kernels/activations.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <type_traits>
#include <vector>

#include <gptq/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/random_layer.hpp"

using all_digits = std::tuple<gptq::digits<1>, gptq::digits<2>, gptq::digits<3>>;

namespace {

template <class Digits>
struct one_block {
    gptq::impl::step_digits<Digits> steps[4];
    gptq::impl::block_terms<Digits> terms;

    explicit one_block(const std::vector<float>& x)
        : terms(gptq::impl::quantize_block<Digits, 1>(x.data(), steps, x.size() / gptq::step_positions)) {}

    [[nodiscard]] std::int64_t whole(std::size_t i) const {
        std::int64_t q = 0;
        for (int p = Digits::planes - 1; p >= 0; --p)
            q = 256 * q + steps[i / gptq::step_positions].plane[p][i % gptq::step_positions];
        return q;
    }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("an activation is within half a unit of its last digit", "[kernels]", all_digits) {
    std::mt19937 random(61);
    for (int i = 0; i < 2000; ++i) {
        auto x = support::normal_values(random, std::size_t{32} << support::below(random, 3));
        const float size = std::ldexp(1.0F, static_cast<int>(support::below(random, 180)) - 90);
        for (float& v : x) v *= size;
        const one_block<TestType> block(x);
        double worst = 0, largest = 0;
        for (std::size_t k = 0; k < x.size(); ++k) {
            const double error =
                std::abs(x[k] - static_cast<double>(block.terms.scale) * static_cast<double>(block.whole(k)));
            worst = std::max(worst, error - 0x1p-22 * std::abs(static_cast<double>(x[k])));
            largest = std::max(largest, std::abs(static_cast<double>(x[k])));
        }
        REQUIRE(worst <= 0.5 * static_cast<double>(block.terms.scale));
        REQUIRE(static_cast<double>(block.terms.scale) == Approx(largest / TestType::limit).epsilon(1e-6));
    }
}

TEMPLATE_LIST_TEST_CASE("a block's largest values become exactly plus and minus the limit", "[kernels]", all_digits) {
    std::mt19937 random(62);
    for (int i = 0; i < 20'000; ++i) {
        std::vector<float> x(32);
        x[3] = std::abs(support::normal_values(random, 1)[0]) + 1e-3F;
        x[7] = -x[3];
        const one_block<TestType> block(x);
        // Roundings may move it by one; never over the edge, where the highest digit would wrap around.
        REQUIRE(std::abs(block.whole(3) - TestType::limit) <= (TestType::planes == 3 ? 1 : 0));
        REQUIRE(block.whole(7) == -block.whole(3));
    }
}

TEMPLATE_LIST_TEST_CASE("a block's sums are those of its digits", "[kernels]", all_digits) {
    std::mt19937 random(63);
    for (int i = 0; i < 100; ++i) {
        const auto x = support::normal_values(random, 128);
        const one_block<TestType> block(x);
        std::int64_t sum = 0;
        for (std::size_t k = 0; k < x.size(); ++k) sum += block.whole(k);
        std::int64_t stored = block.terms.sum[0];
        if constexpr (TestType::accumulators == 2) {
            stored += 65536 * std::int64_t{block.terms.sum[1]};
            std::int64_t high = 0;
            for (const auto& step : block.steps)
                for (const auto digit : step.plane[2]) high += digit;
            CHECK(block.terms.sum[1] == high);
        }
        CHECK(stored == sum);
    }
}

TEMPLATE_LIST_TEST_CASE("blocks of next to nothing count as zeros, blocks that are no numbers as NaN", "[kernels]",
                        all_digits) {
    for (const float value : {0.0F, -0.0F, 1e-45F, -0x1p-101F}) {
        const one_block<TestType> block(std::vector<float>(32, value));
        CHECK(block.terms.scale == 0);
        CHECK(block.whole(0) == 0);
    }
    CHECK(one_block<TestType>(std::vector<float>(32, 0x1p-100F)).whole(0) >= TestType::limit - 1);
    CHECK(one_block<TestType>(std::vector<float>(32, std::numeric_limits<float>::max())).whole(0) >=
          TestType::limit - 1);
    for (const float value : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
        for (const float sign : {1.0F, -1.0F}) {
            std::vector<float> x(32, 1);
            x[31] = sign * value;
            const one_block<TestType> block(x);
            CHECK(std::isnan(block.terms.scale));
            CHECK(block.whole(0) == 0);
        }
}

TEST_CASE("digits lie in the order of the weights' fields", "[kernels]") {
    std::vector<float> x(32);
    for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(i) + 96;  // with 127 the largest, digits are x
    const auto check = [&]<unsigned CodesPerByte>(std::integral_constant<unsigned, CodesPerByte>) {
        gptq::impl::step_digits<gptq::digits<1>> step;
        (void)gptq::impl::quantize_block<gptq::digits<1>, CodesPerByte>(x.data(), &step, 1);
        for (std::size_t field = 0; field < 8; ++field)
            for (std::size_t byte = 0; byte < 4; ++byte)
                CHECK(step.plane[0][4 * field + byte] == x[gptq::impl::position_of(CodesPerByte, field, byte)]);
    };
    check(std::integral_constant<unsigned, 1>{});
    check(std::integral_constant<unsigned, 2>{});
    check(std::integral_constant<unsigned, 4>{});
}

TEST_CASE("activations of 16 bits are those of their values", "[kernels]") {
    std::mt19937 random(66);
    const std::vector<std::int32_t> g_idx(130, 0);
    const auto layout = gptq::impl::group_columns(g_idx, 1, 4).layout;
    const auto check = [&]<class Half>(Half) {
        std::vector<Half> halves(2 * 130);
        std::vector<float> floats(2 * 130);
        for (std::size_t i = 0; i < floats.size(); ++i) {
            halves[i] = gptq::round_to<Half>(support::normal_values(random, 1)[0]);
            floats[i] = gptq::to_float(halves[i]);
        }
        gptq::activations<> a(layout), b(layout);
        a.assign(gptq::view_of(halves.data(), 2, 130));
        b.assign(gptq::view_of(floats.data(), 2, 130));
        for (std::size_t t = 0; t < 2; ++t)
            for (std::size_t s = 0; s < layout.steps(); ++s)
                CHECK(std::ranges::equal(a.buffer()[t].steps[s].plane[1], b.buffer()[t].steps[s].plane[1]));
    };
    check(gptq::f16{});
    check(gptq::bf16{});
}

TEST_CASE("assigning the wrong number of columns changes nothing", "[kernels]") {
    std::mt19937 random(64);
    const std::vector<std::int32_t> g_idx(100, 0);
    gptq::activations<> a(gptq::impl::group_columns(g_idx, 1, 8).layout);
    CHECK(a.tokens() == 0);
    const auto x = support::normal_values(random, 300);
    a.assign(gptq::view_of(x.data(), 3, 100));
    CHECK(a.tokens() == 3);
    CHECK_THROWS_WITH(a.assign(gptq::view_of(x.data(), 2, 99)), "activations: columns of x is 99, expected 100");
    CHECK_THROWS_AS(a.assign(std::span(x).first(101)), gptq::shape_error);
    CHECK(a.tokens() == 3);
}

TEST_CASE("activations do not depend on the executor", "[kernels]") {
    std::mt19937 random(65);
    const std::vector<std::int32_t> g_idx(100, 0);
    const auto layout = gptq::impl::group_columns(g_idx, 1, 8).layout;
    gptq::activations<> serial(layout), parallel(layout);
    const auto x = support::normal_values(random, 9 * 100);
    serial.assign(gptq::view_of(x.data(), 9, 100));
    gptq::thread_pool pool(3);
    parallel.assign(gptq::view_of(x.data(), 9, 100), pool);
    for (std::size_t t = 0; t < 9; ++t) {
        const auto a = serial.buffer()[t], b = parallel.buffer()[t];
        for (std::size_t block = 0; block < layout.blocks(); ++block)
            CHECK(a.blocks[block].scale == b.blocks[block].scale);
        for (std::size_t step = 0; step < layout.steps(); ++step)
            CHECK(std::ranges::equal(a.steps[step].plane[0], b.steps[step].plane[0]));
    }
}
