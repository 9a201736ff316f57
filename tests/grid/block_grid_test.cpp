#include <gptq/grid/block_grid.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "grid/all_grids.hpp"
#include "support/catch.hpp"

namespace block_grid_test {

namespace {

using namespace gptq;
using support::fit;
using support::quantize;
using support::random_group;

TEST_CASE("Q4_0 and Q5_0 give the weight of largest magnitude code 0, whatever its sign") {
    for (const float sign : {1.0F, -1.0F}) {
        const std::vector<float> block{0.3F, sign * -4, 1, sign * 3.9F};
        const auto four = fit(q4_0_grid{}, block), five = fit(q5_0_grid{}, block);
        CHECK(four.d == sign * 0.5F);
        CHECK(five.d == sign * 0.25F);
        CHECK(q4_0_grid::round(sign * -4, four) == 0);
        CHECK(q4_0_grid::round(sign * 3.9F, four) == 15);  // 7.8 steps, one too many
        CHECK(q5_0_grid::round(0.0F, five) == 16);
        CHECK(quantize(q4_0_grid{}, 0.0F, four) == 0);
    }
}

TEST_CASE("Q8_0 spans 127 steps to either side") {
    const auto p = fit(q8_0_grid{}, std::vector<float>{-2.54F, 1});
    CHECK(p.d == rounded_to(scale_type::f16, 2.54F / 127));
    CHECK(q8_0_grid::round(-2.54F, p) == 1);
    CHECK(q8_0_grid::round(-100.0F, p) == 1);  // never the byte -128
    CHECK(q8_0_grid::round(100.0F, p) == 255);
    CHECK(q8_0_grid::round(0.0F, p) == 128);
}

TEST_CASE("Q4_1 and Q5_1 span the weights, with or without 0") {
    CHECK(fit(q4_1_grid{}, std::vector<float>{-1, 6.5F}) == block_d_m{0.5F, -1});
    CHECK(fit(q4_1_grid{}, std::vector<float>{7, 8.875F}) == block_d_m{0.125F, 7});
    CHECK(fit(q5_1_grid{}, std::vector<float>{-9, -1.25F}) == block_d_m{0.25F, -9});
}

TEST_CASE("where a block does not hold 0, the search leaves the weight nearest to 0 where it is") {
    std::mt19937 random(1);
    for (const float sign : {1.0F, -1.0F}) {
        auto block = random_group(random, 32, 0.1);
        for (float& w : block) w = sign * (std::abs(w) + 4);
        block[9] = sign * 4.8F;  // one of 32, which this norm gives up for the others
        const q4_1_grid range, search{.search = scale_search::mse, .norm = 0.5};
        const auto p = fit(search, block), whole = fit(range, block);
        CHECK(p.d < 0.8F * whole.d);
        CHECK(support::group_error(search, block, p, 0.5) < support::group_error(search, block, whole, 0.5));
        const float near_end = sign > 0 ? p.m : p.m + 15 * p.d;
        CHECK(std::abs(near_end) == Approx(4).margin(0.05));
    }
}

/// llama.cpp's formula, exactly: 44 bits hold any d·q + m, and a double has 53. Rounded once, to what it computes.
float exact_value(double d, double q, double m) { return static_cast<float>(d * q + m); }

template <class G>
void check_values(const G& grid, unsigned least_code, std::mt19937& random) {
    const auto any_f16 = [&] {
        return to_float(f16{static_cast<std::uint16_t>(random() % 0x7C00 + random() % 2 * 0x8000)});
    };
    const double offset = G::has_m ? 0 : 1U << (G::bits - 1);
    for (int i = 0; i < 3000; ++i) {
        typename G::parameters p{any_f16()};
        double m = -0.0;  // x + -0 is x, also for -0
        if constexpr (G::has_m) m = static_cast<double>(p.m = any_f16());
        for (unsigned code = least_code; code < 1U << G::bits; ++code) {
            const float want = exact_value(static_cast<double>(p.d), code - offset, m);
            const float got = grid.dequantize(static_cast<float>(code), p);
            const double got_by_double = grid.dequantize(static_cast<double>(code), p);
            if (std::bit_cast<std::uint32_t>(got) != std::bit_cast<std::uint32_t>(want) ||
                std::bit_cast<std::uint64_t>(got_by_double) !=
                    std::bit_cast<std::uint64_t>(static_cast<double>(want))) {
                FAIL("d " << p.d << ", m " << m << ", code " << code << ": " << got << ", expected " << want);
            }
        }
    }
}

TEST_CASE("values are those of llama.cpp bit for bit, in both precisions") {
    std::mt19937 random(2);
    check_values(q4_0_grid{}, 0, random);
    check_values(q4_1_grid{}, 0, random);
    check_values(q5_0_grid{}, 0, random);
    check_values(q5_1_grid{}, 0, random);
    check_values(q8_0_grid{}, 1, random);
}

TEST_CASE("blocks that f16 cannot scale get the nearest scale that it has") {
    CHECK(std::abs(fit(q4_0_grid{}, std::vector<float>(32, 0.0F)).d) == 0x1p-24F);
    CHECK(fit(q4_0_grid{}, std::vector<float>(32, -1e-12F)).d == 0x1p-24F);
    CHECK(fit(q8_0_grid{}, std::vector<float>(32, 1e30F)).d == 65504);
    CHECK(fit(q4_1_grid{}, std::vector<float>{-1e30F, 1e30F}) == block_d_m{65504, -65504});
    CHECK(fit(q4_1_grid{}, std::vector<float>(32, 0.5F)) == block_d_m{0x1p-24F, 0.5F});
}

TEST_CASE("a block grid has 32 columns to a group and no other choice") {
    CHECK(q4_0_grid::group_size == 32);
    CHECK(q4_0_grid::bits == 4);
    CHECK(q4_1_grid::bits == 4);
    CHECK(q5_0_grid::bits == 5);
    CHECK(q5_1_grid::bits == 5);
    CHECK(q8_0_grid::bits == 8);
}

}  // namespace

}  // namespace block_grid_test
