#include <gptq/grid/grid.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/calib/hessian.hpp>
#include <gptq/solve/solver.hpp>

#include "grid/all_grids.hpp"
#include "support/catch.hpp"

namespace grid_test {

namespace {

using namespace gptq;
using support::fit;
using support::for_each_grid;
using support::quantize;
using support::random_group;

static_assert(grid<uniform_grid> && grid<codebook<2>> && grid<codebook<256>> && grid<q4_0_grid> && grid<q5_1_grid>);
static_assert(!grid<int> && !grid<affine>);

/// All numbers that a group stores.
std::vector<float> stored(const affine& p) { return {p.scale}; }
std::vector<float> stored(const codebook_scale& p) { return {p.scale}; }
std::vector<float> stored(const block_d& p) { return {p.d}; }
std::vector<float> stored(const block_d_m& p) { return {p.d, p.m}; }

template <class G>
scale_type stored_type(const G& grid) {
    if constexpr (requires { grid.scales; })
        return grid.scales;
    else
        return scale_type::f16;
}

/// Codes that stand for a value: a table may have fewer than the bits allow.
template <class G>
unsigned codes_of(const G& grid) {
    if constexpr (requires { grid.values; })
        return static_cast<unsigned>(grid.values.size());
    else
        return 1U << grid.bits;
}

template <class T, class G>
void check_round(const G& grid, std::mt19937& random) {
    using parameters = typename G::parameters;
    const parameters p = fit(grid, random_group<T>(random, 32));
    const unsigned codes = codes_of(grid);
    for (unsigned code = 0; code < codes; ++code) {
        const T value = grid.dequantize(static_cast<T>(code), p);
        const T again = grid.round(value, p);
        REQUIRE(again == std::rint(again));
        if (std::is_same_v<G, q8_0_grid> && code == 0)
            REQUIRE(again == 1);
        else
            REQUIRE(grid.dequantize(again, p) == value);
    }
    // Division, multiplication and m's addition round once each; two values may then be as near as one another.
    std::uniform_real_distribution<T> around(-5, 5);
    for (int i = 0; i < 100; ++i) {
        const T v = around(random), found = quantize(grid, v, p);
        for (unsigned code = std::is_same_v<G, q8_0_grid> ? 1 : 0; code < codes; ++code) {
            const T other = grid.dequantize(static_cast<T>(code), p);
            const T slack = 4 * std::numeric_limits<T>::epsilon() * (std::abs(v) + std::abs(found) + std::abs(other));
            // Q4_1 and Q5_1 round their values to floats whatever v is.
            const T as_floats = std::is_same_v<parameters, block_d_m> ? T(0x1p-22) : T{0};
            REQUIRE(std::abs(v - found) <= std::abs(v - other) + slack + as_floats);
        }
    }
}

TEST_CASE("a code's value is rounded to that code, and any value to the nearest of all codes") {
    std::mt19937 random(1);
    for_each_grid([&](const std::string& name, const auto& grid) {
        INFO(name);
        check_round<float>(grid, random);
        check_round<double>(grid, random);
    });
}

template <class T, class G>
void check_hostile(const G& grid, const std::vector<T>& group) {
    std::vector<T> importance(group.size(), T{1});
    if (!importance.empty()) importance[0] = T(1e30);
    const auto p = fit(grid, group, importance);
    for (const float x : stored(p)) {
        REQUIRE(std::isfinite(x));
        REQUIRE(std::bit_cast<std::uint32_t>(rounded_to(stored_type(grid), x)) == std::bit_cast<std::uint32_t>(x));
    }
    REQUIRE(stored(p)[0] != 0);
    const auto largest = static_cast<T>((1U << grid.bits) - 1);
    const auto check_code = [&](T v) {
        const T code = grid.round(v, p);
        REQUIRE(code >= 0);
        REQUIRE(code <= largest);
        REQUIRE(code == std::rint(code));
        REQUIRE(std::isfinite(grid.dequantize(code, p)));
    };
    for (const T w : group) check_code(w);
    using limits = std::numeric_limits<T>;
    for (const T v : {T{0}, limits::max(), limits::lowest(), limits::denorm_min(), limits::infinity(),
                      -limits::infinity(), limits::quiet_NaN()})
        check_code(v);
}

template <class T>
std::vector<std::vector<T>> hostile_groups() {
    using limits = std::numeric_limits<T>;
    std::vector<std::vector<T>> groups{
        {},
        {T(0.3)},
        {T(-0.3)},
        std::vector<T>(32, T{0}),
        std::vector<T>(32, -T{0}),
        std::vector<T>(32, T(5.5)),
        std::vector<T>(33, T(-1e30)),
        std::vector<T>(31, limits::denorm_min()),
        std::vector<T>(20, limits::max()),
        {limits::max(), limits::lowest(), T{0}},
        {limits::lowest(), limits::denorm_min()},
    };
    std::mt19937 random(2);
    for (const double size : {1e-42, 1e-30, 1e-7, 1.0, 1e5, 1e30}) {
        groups.push_back(random_group<T>(random, 32, size));
        auto positive = groups.back();
        for (T& w : positive) w = std::abs(w);
        groups.push_back(positive);
        for (T& w : positive) w = -w;
        groups.push_back(positive);
        positive[7] = T(-1e-35);  // beside a huge range
        groups.push_back(positive);
    }
    return groups;
}

TEST_CASE("parameters are finite and storable, and codes in range, whatever the group") {
    for_each_grid([](const std::string& name, auto grid) {
        for (const auto search : {scale_search::min_max, scale_search::mse, scale_search::weighted_mse}) {
            grid.search = search;
            INFO(name << ", search " << static_cast<int>(search));
            for (const auto& group : hostile_groups<float>()) check_hostile(grid, group);
            for (const auto& group : hostile_groups<double>()) check_hostile(grid, group);
        }
    });
}

TEST_CASE("a group of zeros is still zeros, on grids that have 0") {
    for_each_grid([](const std::string& name, const auto& grid) {
        INFO(name);
        const auto p = fit(grid, std::vector<float>(32, 0.0F));
        if (name != "a table without 0 and out of order") CHECK(quantize(grid, 0.0F, p) == 0);
        CHECK(std::abs(quantize(grid, 0.0F, p)) < 1);
    });
}

/// Clips start half a step beyond the last values.
template <class G>
void check_clips(const G& grid, const typename G::parameters& p, unsigned least_code) {
    const double first = grid.dequantize(static_cast<double>(least_code), p),
                 last = grid.dequantize((1U << grid.bits) - 1.0, p);
    const double half_step = (last - first) / ((1U << grid.bits) - 1 - least_code) / 2;
    CHECK_FALSE(grid.clips(first - 0.999 * half_step, p));
    CHECK_FALSE(grid.clips(0.3 * first + 0.7 * last, p));
    CHECK_FALSE(grid.clips(last + 0.999 * half_step, p));
    CHECK(grid.clips(first - 1.001 * half_step, p));
    CHECK(grid.clips(last + 1.001 * half_step, p));
}

TEST_CASE("a value clips when it lies beyond the grid by more than half a step") {
    std::mt19937 random(3);
    for (const unsigned bits : {2U, 3U, 4U, 5U, 6U, 8U})
        for (const bool sym : {true, false}) {
            const uniform_grid grid{.bits = bits, .sym = sym};
            check_clips(grid, fit(grid, random_group(random, 32)), 0);
        }
    check_clips(q4_0_grid{}, fit(q4_0_grid{}, random_group(random, 32)), 0);
    check_clips(q4_1_grid{}, fit(q4_1_grid{}, random_group(random, 32)), 0);
    check_clips(q5_0_grid{}, fit(q5_0_grid{}, random_group(random, 32)), 0);
    check_clips(q5_1_grid{}, fit(q5_1_grid{}, random_group(random, 32)), 0);
    check_clips(q8_0_grid{}, fit(q8_0_grid{}, random_group(random, 32)), 1);
}

TEST_CASE("GPTQ beats rounding to nearest on grids of every kind") {
    constexpr std::size_t rows = 16, features = 96, tokens = 256;
    std::mt19937 random(4);
    auto x = random_group(random, tokens * features);
    for (std::size_t i = 1; i < x.size(); ++i) x[i] += 0.9F * x[i - 1];  // features that go together
    const auto w = random_group(random, rows * features, 0.1);
    hessian<float> h(features);
    h.add(view_of(x.data(), tokens, features));
    const auto factor = factorize(h, {.order = act_order::none});
    const auto check = [&](const auto& grid) {
        const auto weights = view_of(w.data(), rows, features);
        const auto report = solve(weights, factor, grid, {.compare_nearest = true}).report;
        CHECK(report.loss < 0.8 * report.nearest_loss.value());
    };
    check(nf4(32));
    check(ternary(32));
    check(q4_0_grid{});
    check(q5_1_grid{.search = scale_search::weighted_mse});
}

TEST_CASE("rows have as many groups as it takes") {
    CHECK(group_count(128, 32) == 4);
    CHECK(group_count(129, 32) == 5);
    CHECK(group_count(1, 32) == 1);
    CHECK(group_count(129, per_row) == 1);
}

}  // namespace

}  // namespace grid_test
