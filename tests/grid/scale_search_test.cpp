#include <gptq/grid/scale_search.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "grid/all_grids.hpp"
#include "support/catch.hpp"

namespace scale_search_test {

namespace {

using namespace gptq;
using support::fit;
using support::for_each_grid;
using support::group_error;
using support::random_group;

/// The search as it is told: the range of p·w for p = 1, 0.99, … 0.21, one after the other.
template <class T, class G>
typename G::parameters slow_fit(G grid, const std::vector<T>& group, const std::vector<T>& importance) {
    const double norm = grid.norm;
    grid.search = scale_search::min_max;
    auto best = fit(grid, group);
    double least = std::numeric_limits<double>::infinity();
    for (int step = 0; step < 80; ++step) {
        auto shrunken = group;
        for (T& w : shrunken) w *= 1 - static_cast<T>(step) / 100;
        const auto p = fit(grid, shrunken);
        const double error = group_error(grid, group, p, norm, importance);
        if (error < least) {
            least = error;
            best = p;
        }
    }
    return best;
}

template <class T, class G>
void check_against_slow(const G& grid, std::mt19937& random) {
    for (const std::size_t size : {1U, 5U, 16U, 17U, 32U, 200U}) {
        auto group = random_group<T>(random, size);
        if (size > 1) group[0] = -group[1];  // the range holds 0
        auto importance = random_group<T>(random, size);
        for (T& h : importance) h = h * h;
        if (grid.search == scale_search::mse) std::ranges::fill(importance, T{1});
        const double found = group_error(grid, group, fit(grid, group, importance), grid.norm, importance);
        const double least = group_error(grid, group, slow_fit(grid, group, importance), grid.norm, importance);
        // Powers are right within 1e-6, sums of n within n·ε. A miss is a difference of numbers below 8, so that it may
        // be wrong by 8ε, in the sum found and in the one it was compared with; the triangle inequality of the norm
        // tells how much that can matter.
        const double eps = std::numeric_limits<T>::epsilon(), n = static_cast<double>(size);
        const double slack = std::accumulate(importance.begin(), importance.end(), 0.0) * std::pow(16 * eps, grid.norm);
        const double root = 1 / std::max(1.0, grid.norm);
        INFO("size " << size << ", norm " << grid.norm << ", found " << found << ", least " << least);
        CHECK(std::pow(found, root) <= std::pow(least, root) * (1 + 2e-6 + 2 * n * eps) + std::pow(slack, root));
    }
}

TEST_CASE("the search finds what a plain search of all steps finds, on every grid, under any norm") {
    std::mt19937 random(1);
    for_each_grid([&](const std::string& name, auto grid) {
        INFO(name);
        for (const double norm : {0.7, 1.0, 2.0, 2.4, 4.0, 8.0})
            for (const auto search : {scale_search::mse, scale_search::weighted_mse}) {
                grid.norm = norm;
                grid.search = search;
                check_against_slow<float>(grid, random);
                check_against_slow<double>(grid, random);
            }
    });
}

TEST_CASE("in double precision the search takes the very step that the plain search takes") {
    std::mt19937 random(2);
    for (const unsigned bits : {2U, 3U, 4U, 8U})
        for (const bool sym : {true, false})
            for (const std::size_t size : {7U, 64U, 128U}) {
                const uniform_grid grid{
                    .bits = bits, .sym = sym, .scales = scale_type::f32, .search = scale_search::mse};
                const auto group = random_group<double>(random, size);
                CHECK(fit(grid, group) == slow_fit(grid, group, {}));
            }
}

TEST_CASE("by its own norm the search is never worse than the range") {
    std::mt19937 random(3);
    for_each_grid([&](const std::string& name, auto grid) {
        INFO(name);
        for (int i = 0; i < 5; ++i) {
            const auto group = random_group(random, 32);
            grid.search = scale_search::min_max;
            const double range = group_error(grid, group, fit(grid, group), grid.norm);
            grid.search = scale_search::mse;
            CHECK(group_error(grid, group, fit(grid, group), grid.norm) <= range * (1 + 1e-5));
        }
    });
}

TEST_CASE("the norm decides between many small errors and one large error") {
    std::mt19937 random(4);
    const auto group = random_group(random, 128);
    uniform_grid grid{.bits = 2, .search = scale_search::mse};
    const auto fit_by = [&](double norm) {
        grid.norm = norm;
        return fit(grid, group);
    };
    const affine by_sum = fit_by(1), by_largest = fit_by(8);
    CHECK(by_sum.scale < by_largest.scale);
    CHECK(group_error(grid, group, by_sum, 1) < group_error(grid, group, by_largest, 1));
    CHECK(group_error(grid, group, by_sum, 8) > group_error(grid, group, by_largest, 8));
}

TEST_CASE("the weighted search takes care of the weights that count") {
    std::mt19937 random(5);
    for_each_grid([&](const std::string& name, auto grid) {
        INFO(name);
        auto group = random_group(random, 32);
        group[3] = 8;
        group[7] = -8;
        std::vector<float> importance(32, 1.0F);
        importance[3] = importance[7] = 0;
        grid.search = scale_search::mse;
        const auto plain = fit(grid, group, importance);
        CHECK(plain == fit(grid, group));
        grid.search = scale_search::weighted_mse;
        const auto weighted = fit(grid, group, importance);
        const double norm = grid.norm;
        CHECK(group_error(grid, group, weighted, norm, importance) <=
              group_error(grid, group, plain, norm, importance) * (1 + 1e-5));
        if (grid.bits <= 4 && name != "a table without negative values") CHECK(weighted != plain);
        for (const int power : {-125, 120}) {  // only their ratios matter
            auto other = importance;
            for (float& h : other) h = std::ldexp(h, power);
            CHECK(fit(grid, group, other) == weighted);
        }
        // Without importances, or with the same for all, all count alike.
        CHECK(fit(grid, group) == plain);
        CHECK(fit(grid, group, std::vector<float>(32, 0.7F)) == plain);
        CHECK(fit(grid, group, std::vector<float>(32, 0.0F)) == [&] {
            auto range = grid;
            range.search = scale_search::min_max;
            return fit(range, group);
        }());
    });
}

/// Weights multiplied by a power of two have a scale multiplied by it.
template <class T, class G, class Scale>
void check_units(const G& grid, Scale scale, std::mt19937& random) {
    for (const int power : {-80, -30, -1, 3, 30, 80}) {
        const auto group = random_group<T>(random, 64);
        auto other = group;
        for (T& w : other) w = std::ldexp(w, power);
        INFO("norm " << grid.norm << ", 2^" << power);
        CHECK(fit(grid, other).*scale == std::ldexp(fit(grid, group).*scale, power));
    }
}

TEMPLATE_TEST_CASE("the unit of weights does not matter", "[grid]", float, double) {
    std::mt19937 random(6);
    for (const auto search : {scale_search::min_max, scale_search::mse})
        for (const double norm : {2.0, 2.4, 8.0}) {
            for (const unsigned bits : {2U, 8U})
                check_units<TestType>(
                    uniform_grid{.bits = bits, .scales = scale_type::bf16, .search = search, .norm = norm},
                    &affine::scale, random);
            codebook<16> table = nf4();
            table.scales = scale_type::f32;
            table.search = search;
            table.norm = norm;
            check_units<TestType>(table, &codebook_scale::scale, random);
        }
}

TEST_CASE("importances must be as many as weights") {
    const std::vector<float> group(4, 1.0F), importance(3, 1.0F);
    for (const auto search : {scale_search::min_max, scale_search::mse, scale_search::weighted_mse})
        CHECK_THROWS_WITH(fit(uniform_grid{.search = search}, group, importance),
                          "fit: number of importances is 3, expected 4");
}

TEST_CASE("a norm is above 0 and at most 8") {
    using limits = std::numeric_limits<double>;
    for_each_grid([](const std::string& name, auto grid) {
        INFO(name);
        CHECK_NOTHROW(grid.check());
        for (const double norm : {0.0, -1.0, 8.001, limits::infinity(), limits::quiet_NaN()}) {
            grid.norm = norm;
            CHECK_THROWS_AS(grid.check(), option_error);
        }
        grid.norm = 8;
        CHECK_NOTHROW(grid.check());
    });
    CHECK_THROWS_WITH((uniform_grid{.norm = 9}.check()), "uniform_grid: norm is 9, expected above 0, at most 8");
}

}  // namespace

}  // namespace scale_search_test
