// It never fails: Hessians and weights that break other solvers. Whatever is finite gives codes on the grid, finite
// losses and a report that says which help was needed; what is not finite is refused with its first place.
#include <gptq/solve/solver.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/grid/uniform_grid.hpp>

#include "support/catch.hpp"
#include "support/hostile_hessians.hpp"
#include "support/tables.hpp"
#include "support/textbook.hpp"

namespace hostile_test {

namespace {

using namespace gptq;
using support::hostile_hessian;
using support::nature;
using support::table;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// As T reads it: the lower triangle, rounded.
template <class T>
table as_read(table h) {
    for (std::size_t i = 0; i < h.rows; ++i)
        for (std::size_t j = 0; j <= i; ++j) h(i, j) = h(j, i) = static_cast<double>(static_cast<T>(h(i, j)));
    return h;
}

/// The loss in units of H's largest element, in which it stays finite wherever H lies in the type's range.
double relative_loss(const table& e, table h) {
    double largest = 0, loss = 0;
    for (const double v : h.values) largest = std::max(largest, std::abs(v));
    for (double& v : h.values) v = largest > 0 ? v / largest : 0;
    for (std::size_t r = 0; r < e.rows; ++r) loss += support::row_loss(e, h, r);
    return loss;
}

void check_codes(const quantized<uniform_grid>& q) {
    bool on_grid = true, finite = true;
    for (const std::uint8_t code : q.codes) on_grid = on_grid && code <= q.grid.maxq();
    for (std::size_t r = 0; r < q.out_features; ++r)
        for (std::size_t i = 0; i < q.in_features; ++i) finite = finite && std::isfinite(q.value(r, i));
    REQUIRE(on_grid);
    REQUIRE(finite);
}

void check_report(const solve_report& report) {
    const auto sound = [](double x) { return std::isfinite(x) && x >= 0; };
    REQUIRE(sound(report.loss));
    REQUIRE(sound(report.damped_loss));
    REQUIRE(sound(report.relative_error.value_or(0)));
    REQUIRE(sound(report.damping));
    REQUIRE(report.damping_retries <= 6);
    std::ostringstream text;
    text << report;
    const auto tells = [line = text.str()](const char* of) { return line.find(of) != std::string::npos; };
    REQUIRE(tells("H does not factor") == report.diagonal_only);
    REQUIRE(tells("damping raised") == (report.damping_retries > 0 && !report.diagonal_only));
    REQUIRE(tells("dead inputs") == (report.dead_inputs > 0));
}

/// λ by the rule of factorize.
double damping_after(unsigned retries, double share, const table& h) {
    double total = 0, live = 0;
    for (std::size_t i = 0; i < h.rows; ++i) {
        total += h(i, i);
        live += h(i, i) == 0 ? 0 : 1;
    }
    const double mean = live > 0 ? total / live : 1.0;
    double damping = share * mean;
    for (unsigned i = 0; i < retries; ++i) damping = std::max(10 * damping, 1e-4 * mean);
    return damping;
}

const std::vector<uniform_grid> grids = {
    {.bits = 4, .group_size = per_row},
    {.bits = 2, .group_size = per_row, .sym = false, .scales = scale_type::f32},
    {.bits = 3, .group_size = 5, .sym = false, .scales = scale_type::bf16},
    {.bits = 8, .group_size = 7, .scales = scale_type::f32},
    {.bits = 2, .group_size = 8, .search = scale_search::mse},
};

/// Greedy feedback can lose to rounding to nearest; on these matrices, with damping, never by more than this factor.
constexpr double never_worse = 2;

template <class T>
void check_solves(const hostile_hessian& hostile, std::size_t rows) {
    std::mt19937 random(7);
    const auto h = as_read<T>(hostile.h);
    const auto w = support::random_table(random, rows, h.rows);
    std::size_t dead = 0;
    for (std::size_t i = 0; i < h.rows; ++i) dead += static_cast<std::size_t>(h(i, i) == 0);
    for (const uniform_grid& grid : grids) {
        const auto nearest = round_to_nearest(w, grid);
        for (const double damping : {0.0, 0.01, 1e6})
            for (const auto order : {act_order::none, act_order::descending, act_order::group_aware})
                for (const bool fixed : {true, false}) {
                    INFO(hostile.name << ", " << rows << " x " << h.rows << ", damping " << damping << ", order "
                                      << static_cast<int>(order) << ", " << grid.bits << " bits, group "
                                      << grid.group_size << (fixed ? ", static groups" : ""));
                    const auto f = factorize(hessian<T>::of(hostile.h), {damping, order, grid.group_size}, serial{});
                    const solve_options options{.static_groups = fixed, .relative_error = true};
                    const auto [q, report] = solve(w, f, grid, options, serial{});
                    check_codes(q);
                    check_report(report);
                    REQUIRE(report.dead_inputs == dead);
                    const unsigned retries = report.diagonal_only ? 0 : report.damping_retries;
                    REQUIRE(report.damping == Approx(damping_after(retries, damping, h)).epsilon(1e-5));
                    if (hostile.kind != nature::indefinite) REQUIRE_FALSE(report.diagonal_only);
                    if (!fixed) continue;
                    // round_to_nearest computes in float: in double a value may lie on the other side of a border.
                    if (std::is_same_v<T, float> && (hostile.kind == nature::diagonal || report.diagonal_only))
                        REQUIRE((q.codes == nearest.codes));
                    if (hostile.kind == nature::semidefinite && damping > 0 && rows > 1)
                        REQUIRE(relative_loss(support::errors_of(w, q), h) <=
                                never_worse * relative_loss(support::errors_of(w, nearest), h));
                }
    }
}

TEMPLATE_TEST_CASE("no finite Hessian makes a solve fail", "[hostile]", float, double) {
    const bool single = std::is_same_v<TestType, float>;
    const double denormal = static_cast<double>(std::numeric_limits<TestType>::denorm_min());
    for (const std::size_t n : {1U, 2U, 24U})
        for (const auto& hostile :
             support::hostile_hessians(n, single ? 1e30 : 1e300, single ? 1e-38 : 1e-308, denormal))
            for (const std::size_t rows : {1U, 17U}) check_solves<TestType>(hostile, rows);
}

// λ and sums of losses leave the type's range here, though H does not.
TEMPLATE_TEST_CASE("Hessians next to the largest number do not make a solve fail", "[hostile]", float, double) {
    // Losses are doubles: those of H in double need room above it.
    const double room = std::is_same_v<TestType, double> ? 0x1p40 : 1;
    const double largest = static_cast<double>(std::numeric_limits<TestType>::max()) / room;
    for (const std::size_t n : {1U, 24U})
        for (const hostile_hessian& hostile :
             {hostile_hessian{"a diagonal of the largest number", nature::diagonal,
                              support::diagonal_of(n, [&](double) { return largest; })},
              hostile_hessian{"the largest number in one place", nature::diagonal,
                              support::diagonal_of(n, [&](double i) { return i == 0 ? largest : 1.0; })},
              hostile_hessian{"the largest number everywhere", nature::semidefinite,
                              support::made_of(n, [&](double, double) { return largest; })}})
            check_solves<TestType>(hostile, 17);
}

TEMPLATE_TEST_CASE("no finite weights make a solve fail", "[hostile]", float, double) {
    std::mt19937 random(8);
    constexpr std::size_t n = 24;
    const auto ordinary = support::random_table(random, 1, n);
    std::vector<std::pair<std::string, table>> rows;
    const auto add = [&](const char* name, auto&& change) {
        table w = ordinary;
        for (std::size_t i = 0; i < n; ++i) w(0, i) = change(i, w(0, i));
        rows.emplace_back(name, std::move(w));
    };
    add("zeros", [](std::size_t, double) { return 0.0; });
    add("negative zeros", [](std::size_t, double) { return -0.0; });
    add("all positive", [](std::size_t, double v) { return std::abs(v); });
    add("all negative", [](std::size_t, double v) { return -std::abs(v); });
    add("all the same", [](std::size_t, double) { return 0.3; });
    add("one weight alone", [](std::size_t i, double v) { return i == 5 ? v : 0.0; });
    add("one weight 1e4 times the rest", [](std::size_t i, double v) { return i == 5 ? 1e4 * v : v; });
    add("one weight 1e30 times the rest", [](std::size_t i, double v) { return i == 5 ? 1e30 * v : v; });
    add("scales below f16's smallest", [](std::size_t, double v) { return 1e-12 * v; });
    add("scales above f16's largest", [](std::size_t, double v) { return 1e8 * v; });
    add("large", [](std::size_t, double v) { return 1e30 * v; });
    add("small", [](std::size_t, double v) { return 1e-37 * v; });
    add("denormal", [](std::size_t, double v) { return 1e-44 * v; });
    add("every size", [](std::size_t i, double v) { return v * std::pow(10.0, static_cast<double>(i) - 30); });
    for (const auto& [name, w] : rows)
        for (const auto& h : {support::gram(n, 3 * n), support::gram(n, 4),
                              support::with_outliers(support::gram(n, 3 * n), 1e4), table(n, n)})
            for (const uniform_grid& grid : grids)
                for (const bool fixed : {true, false}) {
                    INFO(name << ", " << grid.bits << " bits, group " << grid.group_size << ", static " << fixed);
                    const auto f = factorize(hessian<TestType>::of(h), {.group_size = grid.group_size});
                    const auto [q, report] = solve(w, f, grid, {.static_groups = fixed, .relative_error = true});
                    check_codes(q);
                    check_report(report);
                }
}

TEST_CASE("inputs that are summed in single precision give a Hessian that factors", "[hostile]") {
    std::mt19937 random(9);
    constexpr std::size_t n = 96;
    const auto w = support::random_table(random, 8, n);
    for (const std::size_t tokens : {0U, 1U, 5U, 95U, 4000U})
        for (const double offset : {0.0, 1e3}) {
            INFO(tokens << " tokens, offset " << offset);
            auto x = support::random_table(random, tokens, n);
            for (double& v : x.values) v += offset;
            hessian<float> h(n);
            h.add(x);
            const auto [q, report] = solve(w, factorize(std::move(h)), uniform_grid{});
            check_codes(q);
            check_report(report);
            CHECK_FALSE(report.diagonal_only);
            CHECK(report.dead_inputs == (tokens == 0 ? n : 0));
        }
}

TEMPLATE_TEST_CASE("what is not finite is refused, with its first place", "[hostile]", float, double) {
    const auto h = support::gram(12, 36);
    std::mt19937 random(10);
    const auto w = support::random_table(random, 6, 12);
    const auto f = factorize(hessian<TestType>::of(h));
    for (const double broken : {nan, infinity, -infinity}) {
        for (const auto& [row, column] : {std::pair{0U, 0U}, {7U, 7U}, {7U, 3U}, {11U, 0U}}) {
            auto spoiled = h;
            spoiled(row, column) = spoiled(11, 10) = broken;
            CHECK_THROWS_AS(factorize(hessian<TestType>::of(spoiled)), numeric_error);
            CHECK_THROWS_WITH(factorize(hessian<TestType>::of(spoiled)),
                              ContainsSubstring("feature " + std::to_string(row)));
        }
        for (const auto& [row, column] : {std::pair{0U, 0U}, {2U, 11U}, {5U, 4U}}) {
            auto spoiled = w;
            spoiled(row, column) = spoiled(5, 9) = broken;
            const auto place =
                ContainsSubstring("row " + std::to_string(row) + ", column " + std::to_string(column) + " ");
            CHECK_THROWS_AS(solve(spoiled, f, uniform_grid{.group_size = per_row}), numeric_error);
            CHECK_THROWS_WITH(solve(spoiled, f, uniform_grid{.group_size = per_row}), place);
            CHECK_THROWS_WITH(round_to_nearest(spoiled, uniform_grid{}), place);
        }
    }
}

TEST_CASE("what single precision cannot hold is refused, with its place", "[hostile]") {
    auto h = support::gram(12, 36);
    std::mt19937 random(11);
    auto w = support::random_table(random, 6, 12);
    const auto f = factorize(hessian<float>::of(h));
    w(3, 8) = 1e39;
    CHECK_THROWS_WITH(solve(w, f, uniform_grid{.group_size = per_row}), ContainsSubstring("row 3, column 8 "));
    h(9, 2) = 1e39;
    CHECK_THROWS_WITH(factorize(hessian<float>::of(h)), ContainsSubstring("feature 9"));
    hessian<float> sum(12);
    auto x = support::random_table(random, 30, 12);
    x(4, 6) = 1e20;
    sum.add(x);
    CHECK_THROWS_WITH(factorize(std::move(sum)), ContainsSubstring("feature 6"));
}

TEST_CASE("tokens that are not finite are left out and told", "[hostile]") {
    std::mt19937 random(12);
    auto x = support::random_table(random, 40, 12);
    hessian<float> clean(12), spoiled(12);
    clean.add(x);
    const table good = x;
    x(3, 5) = nan;
    x(17, 0) = infinity;
    x(17, 11) = -infinity;
    spoiled.add(x);
    spoiled.add(view_of(good).rows_from(3, 1));
    spoiled.add(view_of(good).rows_from(17, 1));
    const auto w = support::random_table(random, 6, 12);
    const auto a = solve(w, factorize(std::move(clean)), uniform_grid{}),
               b = solve(w, factorize(std::move(spoiled)), uniform_grid{});
    CHECK(a.report.refused_tokens == 0);
    CHECK(b.report.refused_tokens == 2);
    CHECK((a.codes.codes == b.codes.codes));
    std::ostringstream text;
    text << b.report;
    CHECK_THAT(text.str(), ContainsSubstring("refused tokens 2"));
}

TEST_CASE("every share of damping is used as it is, and beyond the range it is refused", "[hostile]") {
    const auto h = support::gram(12, 36);
    double mean = 0;
    for (std::size_t i = 0; i < 12; ++i) mean += h(i, i) / 12;
    for (const double share : {0.0, 1e-300, 1e-9, 0.01, 1.0, 1e6}) {
        const auto f = factorize(hessian<float>::of(h), {.damp_percent = share});
        CHECK(f.retries == 0);
        CHECK(f.damping == Approx(share * mean).epsilon(1e-5));
    }
    for (const double share : {-1e-9, 1e7, nan, infinity, -infinity})
        CHECK_THROWS_AS(factorize(hessian<float>::of(h), {.damp_percent = share}), option_error);
}

}  // namespace

}  // namespace hostile_test
