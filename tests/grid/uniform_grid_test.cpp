#include <gptq/grid/uniform_grid.hpp>

#include <cmath>
#include <random>
#include <vector>

#include "grid/all_grids.hpp"
#include "support/catch.hpp"

namespace uniform_grid_test {

namespace {

using namespace gptq;
using support::fit;
using support::random_group;

TEST_CASE("a symmetric scale spans twice the largest magnitude") {
    const uniform_grid grid{.bits = 4, .scales = scale_type::f32};
    CHECK(fit(grid, std::vector<float>{0.5F, -1.5F, 1}) == affine{2 * 1.5F / 15, 8});
    // Without a negative weight the range is symmetric all the same; the reference clips half of it.
    CHECK(fit(grid, std::vector<float>{0.5F, 1.5F}) == affine{2 * 1.5F / 15, 8});
    uniform_grid reference = grid;
    reference.reference = true;
    CHECK(fit(reference, std::vector<float>{0.5F, 1.5F}) == affine{1.5F / 15, 8});
}

TEST_CASE("an asymmetric range holds 0, and its zero point is a code") {
    const uniform_grid grid{.bits = 3, .sym = false, .scales = scale_type::f32};
    CHECK(fit(grid, std::vector<float>{-1, 6}) == affine{1, 1});
    CHECK(fit(grid, std::vector<float>{7, 3}) == affine{1, 0});
    CHECK(fit(grid, std::vector<float>{-7, -3}) == affine{1, 7});
}

TEST_CASE("a group of zeros has a finite grid that holds 0") {
    for (const bool sym : {true, false})
        for (const unsigned bits : {2U, 3U, 4U, 8U}) {
            const uniform_grid grid{.bits = bits, .sym = sym};
            const affine p = fit(grid, std::vector<float>(16, 0.0F));
            CHECK(p.scale > 0);
            CHECK(grid.dequantize(grid.round(0.0F, p), p) == 0);
        }
}

TEST_CASE("scales are values of the type they are stored in, before they are used") {
    std::mt19937 random(3);
    for (const auto type : {scale_type::f16, scale_type::bf16, scale_type::f32})
        for (const float size : {1e-9F, 1e-4F, 1.0F, 1e3F, 1e30F})
            for (const bool sym : {true, false}) {
                const uniform_grid grid{.bits = 4, .sym = sym, .scales = type};
                const affine p = fit(grid, random_group(random, 64, size));
                CHECK(p.scale == rounded_to(type, p.scale));
                CHECK(p.scale > 0);
                CHECK(std::isfinite(p.scale));
                CHECK(p.zero == std::rint(p.zero));
                CHECK(p.zero >= 0);
                CHECK(p.zero <= static_cast<float>(grid.maxq()));
            }
}

TEST_CASE("round takes the nearest code, ties to even, and stays on the grid") {
    std::mt19937 random(4);
    std::uniform_real_distribution<float> value(-3, 3);
    for (const unsigned bits : {2U, 3U, 4U, 5U, 6U, 8U}) {
        const uniform_grid grid{.bits = bits, .sym = false};
        const affine p{0.25F, static_cast<float>(1U << (bits - 1))};
        for (int i = 0; i < 200; ++i) {
            const float v = value(random);
            const float code = grid.round(v, p);
            REQUIRE(code == std::rint(code));
            REQUIRE(code >= 0);
            REQUIRE(code <= static_cast<float>(grid.maxq()));
            for (unsigned other = 0; other <= grid.maxq(); ++other)
                REQUIRE(std::abs(v - grid.dequantize(code, p)) <=
                        std::abs(v - grid.dequantize(static_cast<float>(other), p)) + 1e-6F);
        }
        CHECK(grid.round(0.125F, p) == p.zero);  // 0.5 steps: to even, 0
        CHECK(grid.round(-0.125F, p) == p.zero);
        for (unsigned code = 0; code <= grid.maxq(); ++code)
            CHECK(grid.round(grid.dequantize(static_cast<float>(code), p), p) == static_cast<float>(code));
    }
}

TEST_CASE("a group that needs a larger scale than can be stored gets the largest, and says so") {
    for (const bool sym : {true, false})
        for (const auto type : {scale_type::f16, scale_type::bf16, scale_type::f32}) {
            const uniform_grid grid{.bits = 4, .sym = sym, .scales = type};
            const affine p = fit(grid, std::vector<float>{3e38F, -3e38F, 1});  // their difference is no float
            CHECK(p.scale == largest_scale(type));
            CHECK(grid.saturates(p));
            CHECK_FALSE(grid.saturates(fit(grid, std::vector<float>{3e5F, -3e5F})));
        }
}

TEST_CASE("impossible grids are refused in one sentence") {
    CHECK_THROWS_WITH((uniform_grid{.bits = 1}.check()), "uniform_grid: bits is 1, expected 2 … 8");
    CHECK_THROWS_AS((uniform_grid{.bits = 9}.check()), option_error);
    CHECK_THROWS_AS((uniform_grid{.group_size = 0}.check()), option_error);
    CHECK_THROWS_AS((uniform_grid{.group_size = -2}.check()), option_error);
    CHECK_NOTHROW((uniform_grid{.group_size = per_row}.check()));
}

}  // namespace

}  // namespace uniform_grid_test
