#include <gptq/grid/codebook.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gptq/grid/block_grid.hpp>

#include "grid/all_grids.hpp"
#include "support/catch.hpp"

namespace codebook_test {

namespace {

using namespace gptq;
using support::fit;
using support::quantize;
using support::random_group;

TEST_CASE("the ready-made tables are those of their formats") {
    CHECK(nf4().bits == 4);
    CHECK(fp4_e2m1().bits == 4);
    CHECK(ternary().bits == 2);
    CHECK(codebook<256>::bits == 8);
    CHECK(codebook<17>::bits == 5);

    const auto normal = nf4().values;
    CHECK(std::ranges::is_sorted(normal));
    CHECK(normal[0] == -1);
    CHECK(normal[7] == 0);
    CHECK(normal[15] == 1);

    // Sign, two bits of exponent with bias 1, one bit of fraction; exponent 0 has no leading one.
    for (unsigned code = 0; code < 16; ++code) {
        const unsigned exponent = code >> 1U & 3U, fraction = code & 1U;
        const double magnitude =
            exponent == 0 ? 0.5 * fraction : std::ldexp(1 + 0.5 * fraction, static_cast<int>(exponent) - 1);
        CHECK(fp4_e2m1().values[code] == (code < 8 ? magnitude : -magnitude));
        CHECK(std::signbit(fp4_e2m1().values[code]) == (code >= 8));
    }
}

TEST_CASE("the largest weight is put on the table's largest value") {
    // f16 holds these scales.
    CHECK(fit(nf4(), std::vector<float>{0.5F, -0.75F, 0.1F}).scale == 0.75F);
    CHECK(fit(nf4(), std::vector<float>{0.5F, 0.1F}).scale == 0.5F);
    CHECK(fit(fp4_e2m1(), std::vector<float>{0.5F, -1.5F}).scale == 0.25F);
}

TEST_CASE("a table that is not symmetric takes the side of the largest weight") {
    const codebook positive{std::array{0.0F, 0.25F, 0.5F, 1.0F}};
    for (const float sign : {1.0F, -1.0F}) {
        const std::vector<float> group{sign * 2, sign * 0.4F, -sign * 0.1F};
        const auto p = fit(positive, group);
        CHECK(p.scale == sign * 2);
        CHECK(quantize(positive, sign * 2, p) == sign * 2);
        CHECK(quantize(positive, sign * 0.4F, p) == sign * 0.5F);
        CHECK(quantize(positive, -sign * 0.1F, p) == 0);
    }
    // So does Q4_0, whose codes reach one step further down than up.
    codebook<16> steps;
    for (int i = 0; i < 16; ++i) steps.values[static_cast<std::size_t>(i)] = static_cast<float>(i - 8);
    std::mt19937 random(1);
    for (int i = 0; i < 20; ++i) {
        const auto group = random_group(random, 32);
        CHECK(fit(steps, group).scale == fit(q4_0_grid{}, group).d);
    }
}

TEST_CASE("of values as near as each other the first in the table is taken") {
    const codebook grid{std::array{1.0F, -1.0F, 3.0F, 1.0F}};
    const codebook_scale one;
    CHECK(grid.round(0.0F, one) == 0);
    CHECK(grid.round(2.0F, one) == 0);
    CHECK(grid.round(1.0, one) == 0);
    CHECK(grid.round(-0.001F, one) == 1);
    CHECK(fp4_e2m1().round(-0.1F, codebook_scale{}) == 0);  // not -0
    CHECK(fp4_e2m1().round(-0.3F, codebook_scale{}) == 9);
}

TEST_CASE("a code that stands for nothing is read without harm") {
    CHECK(std::isfinite(ternary().dequantize(3.0F, codebook_scale{})));
    const codebook<17> grid{.values = {1}};
    CHECK(std::isfinite(grid.dequantize(31.0F, codebook_scale{})));
}

TEST_CASE("ternary weights are -s, 0 and s, and s is searched for") {
    std::mt19937 random(2);
    const auto group = random_group(random, 256);
    const auto grid = ternary();
    const auto p = fit(grid, group);
    CHECK(p.scale < 0.8F * *std::ranges::max_element(group));
    for (const float w : group) {
        const float q = quantize(grid, w, p);
        CHECK((q == 0 || std::abs(q) == p.scale));
        CHECK((q != 0) == (std::abs(w) > p.scale / 2));
    }
}

TEST_CASE("impossible tables are refused in one sentence") {
    const auto refusal = [](const auto& grid, const std::string& sentence) {
        CHECK_THROWS_WITH(grid.check(), sentence);
    };
    constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    refusal(codebook{std::array{0.0F, infinity}}, "codebook: value 1 is not finite");
    refusal(codebook{std::array{nan, 1.0F}}, "codebook: value 0 is not finite");
    refusal(codebook<4>{}, "codebook: all values are 0, expected at least two");
    refusal(codebook{std::array{3.0F, 3.0F}}, "codebook: all values are 3, expected at least two");
    refusal(codebook{std::array{1.0F, -1e6F}},
            "codebook: the largest magnitude is 1e+06, expected 2^-16 … 2^16; scales make up for a common factor");
    CHECK_THROWS_AS((codebook{std::array{0.0F, 1e-6F}}.check()), option_error);
    CHECK_THROWS_AS(nf4(0).check(), option_error);
    CHECK_THROWS_AS(nf4(-2).check(), option_error);
    CHECK_NOTHROW(nf4(per_row).check());
}

}  // namespace

}  // namespace codebook_test
