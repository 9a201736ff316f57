#include <gptq/calib/factor.hpp>

#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "support/catch.hpp"
#include "support/textbook.hpp"

namespace factor_test {

namespace {

using namespace gptq;
using support::table;

template <class T>
hessian<T> hessian_of(const table& t) {
    return hessian<T>::of(view_of(t.values.data(), t.rows, t.cols));
}

/// Largest |L·Lᵀ - (H + added)| over the reversed order, relative to the largest diagonal entry.
template <class T>
double factor_error(const factor<T>& f, const table& h) {
    const std::size_t n = h.rows;
    double worst = 0, largest = 0;
    for (std::size_t p = 0; p < n; ++p) {
        const std::size_t row = f.order[n - 1 - p];
        largest = std::max(largest, h(row, row));
        for (std::size_t c = 0; c <= p; ++c) {
            double sum = 0;
            for (std::size_t k = 0; k <= c; ++k)
                sum += static_cast<double>(f.lower(p, k)) * static_cast<double>(f.lower(c, k));
            const double want = h(row, f.order[n - 1 - c]) / f.unit + (p == c ? static_cast<double>(f.added[p]) : 0.0);
            worst = std::max(worst, std::abs(sum - want));
        }
    }
    return largest > 0 ? worst / (largest / f.unit) : worst;
}

TEMPLATE_TEST_CASE("the factor is a Cholesky factor of the damped, reordered Hessian", "", float, double) {
    std::mt19937 random(1);
    for (const std::size_t n : {1U, 2U, 17U, 130U, 300U})
        for (const auto order : {act_order::none, act_order::descending, act_order::group_aware}) {
            const auto h = support::random_hessian(random, n, 2 * n + 3);
            const auto f = factorize(hessian_of<TestType>(h), {.damp_percent = 0.01, .order = order, .group_size = 16});
            CHECK(f.retries == 0);
            CHECK(factor_error(f, h) <
                  static_cast<double>(std::numeric_limits<TestType>::epsilon()) * static_cast<double>(n) * 4);
            double mean = 0;
            for (std::size_t i = 0; i < n; ++i) mean += h(i, i) / static_cast<double>(n);
            CHECK(f.damping == Approx(0.01 * mean).epsilon(1e-5));
        }
}

TEST_CASE("columns are ordered by falling diagonal, ties by place") {
    const std::vector<float> diagonal = {1, 5, 3, 5, 9, 2, 2};
    const std::span<const float> d(diagonal);
    using order = std::vector<std::uint32_t>;
    CHECK(column_order(d, act_order::none, 3) == order{0, 1, 2, 3, 4, 5, 6});
    CHECK(column_order(d, act_order::descending, 3) == order{4, 1, 3, 2, 5, 6, 0});
    // Groups {0,1,2}, {3,4,5}; the ragged {6} is last whatever it holds.
    CHECK(column_order(d, act_order::group_aware, 3) == order{4, 3, 5, 1, 2, 0, 6});
}

TEST_CASE("the factor is the same bits for every number of threads") {
    std::mt19937 random(2);
    const auto h = support::random_hessian(random, 400, 500);
    const auto one = factorize(hessian_of<float>(h), {}, serial{});
    for (const std::size_t count : {2U, 3U, 7U})
        CHECK((factorize(hessian_of<float>(h), {}, threads{count}).lower == one.lower));
}

TEST_CASE("dead inputs get a diagonal of their own") {
    std::mt19937 random(3);
    auto h = support::random_hessian(random, 20, 60);
    for (std::size_t i = 0; i < 20; ++i) h(5, i) = h(i, 5) = 0;
    const auto f = factorize(hessian_of<float>(h));
    CHECK(f.dead_inputs == 1);
    CHECK(f.retries == 0);
    CHECK(factor_error(f, h) < 1e-5);
    const auto nothing = factorize(hessian<float>(8));
    CHECK(nothing.dead_inputs == 8);
    CHECK_FALSE(nothing.diagonal_only);
}

TEST_CASE("no finite Hessian makes it fail") {
    std::mt19937 random(4);
    std::vector<std::pair<std::string, table>> hostile;
    for (const std::size_t tokens : {1U, 3U, 40U})
        hostile.emplace_back("fewer tokens than features", support::random_hessian(random, 64, tokens));
    auto duplicated = support::random_hessian(random, 64, 200);
    for (std::size_t i = 0; i < 64; ++i) duplicated(1, i) = duplicated(0, i);
    for (std::size_t i = 0; i < 64; ++i) duplicated(i, 1) = duplicated(i, 0);
    hostile.emplace_back("duplicated feature", duplicated);
    auto outlier = support::random_hessian(random, 64, 200);
    for (std::size_t i = 0; i < 64; ++i) {
        outlier(7, i) *= 1e4;
        outlier(i, 7) *= 1e4;
    }
    hostile.emplace_back("outlier channel", outlier);
    auto indefinite = support::random_hessian(random, 64, 200);
    indefinite(3, 9) = indefinite(9, 3) = 1e6;
    hostile.emplace_back("indefinite", indefinite);
    table huge(64, 64), tiny(64, 64);
    for (std::size_t i = 0; i < 64; ++i) {
        huge(i, i) = 1e37;
        tiny(i, i) = 1e-37;
    }
    hostile.emplace_back("huge", huge);
    hostile.emplace_back("tiny", tiny);
    for (const auto& [name, h] : hostile)
        for (const double damp : {0.0, 1e-6, 0.01}) {
            INFO(name << ", damp " << damp);
            const auto f = factorize(hessian_of<float>(h), {.damp_percent = damp});
            for (std::size_t p = 0; p < 64; ++p) {
                REQUIRE(std::isfinite(f.lower(p, p)));
                REQUIRE(f.lower(p, p) > 0);
            }
            CHECK(f.retries <= 6);
            if (!f.diagonal_only) CHECK(factor_error(f, h) < 1e-4);
        }
}

TEST_CASE("what damping was needed is told") {
    table singular(2, 2);
    for (double& v : singular.values) v = 1;
    const auto f = factorize(hessian_of<float>(singular), {.damp_percent = 0});
    CHECK(f.retries == 1);
    CHECK(f.damping == Approx(1e-4));
    table indefinite = singular;
    indefinite(0, 1) = indefinite(1, 0) = 1e9;
    const auto d = factorize(hessian_of<float>(indefinite), {.damp_percent = 0});
    CHECK(d.diagonal_only);
    CHECK(d.lower(1, 0) == 0);
}

TEST_CASE("a Hessian that is not finite is refused with its first place") {
    table h(4, 4);
    for (std::size_t i = 0; i < 4; ++i) h(i, i) = 1;
    h(2, 1) = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(factorize(hessian_of<float>(h)), numeric_error);
    CHECK_THROWS_WITH(factorize(hessian_of<float>(h)),
                      "factorize: the Hessian is not finite, or its diagonal negative, at feature 2");
    h(2, 1) = 0;
    h(3, 3) = -1;
    CHECK_THROWS_AS(factorize(hessian_of<float>(h)), numeric_error);
}

TEST_CASE("impossible options are refused") {
    CHECK_THROWS_AS(factorize(hessian<float>(4), {.damp_percent = -0.1}), option_error);
    CHECK_THROWS_AS(factorize(hessian<float>(4), {.damp_percent = std::numeric_limits<double>::quiet_NaN()}),
                    option_error);
    CHECK_THROWS_AS(factorize(hessian<float>(4), {.group_size = 0}), option_error);
}

}  // namespace

}  // namespace factor_test
