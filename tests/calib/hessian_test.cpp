#include <gptq/calib/hessian.hpp>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace gptq;

template <class T>
std::vector<T> random_inputs(unsigned seed, std::size_t count) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<T> x(count);
    for (T& v : x) v = round_to<T>(normal(random));
    return x;
}

/// (2/T)·XᵀX in double.
template <class T>
double naive(const std::vector<T>& x, std::size_t n, std::size_t i, std::size_t j) {
    double sum = 0;
    for (std::size_t t = 0; t < x.size(); t += n)
        sum += static_cast<double>(to_float(x[t + i])) * static_cast<double>(to_float(x[t + j]));
    return sum * 2.0 / (static_cast<double>(x.size()) / static_cast<double>(n));
}

template <class T, class S>
void check_against_naive(const hessian<S>& h, const std::vector<T>& x, double tolerance) {
    const std::size_t n = h.in_features();
    const auto m = h.to_matrix();
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
            // |Σ| ≤ T·ε·Σ|x_i·x_j|, and Σ|x_i·x_j|·2/T is about 2·2/π here.
            REQUIRE(static_cast<double>(m(i, j)) == Approx(naive(x, n, i, j)).margin(tolerance));
}

TEMPLATE_TEST_CASE("H is 2/T times the sum of outer products, from every storage type", "", float, double, f16, bf16) {
    for (const std::size_t n : {1U, 3U, 130U, 300U})
        for (const std::size_t tokens : {1U, 7U, 700U}) {
            const auto x = random_inputs<TestType>(1, tokens * n);
            hessian h(n);
            h.add(view_of(x.data(), tokens, n));
            CHECK(h.tokens() == tokens);
            check_against_naive(h, x, static_cast<double>(tokens) * 0x1p-23 * 1.5 + 1e-6);
        }
}

TEST_CASE("a Hessian in double keeps what float would lose") {
    const std::size_t n = 20;
    const auto x = random_inputs<double>(2, 3000 * n);
    hessian<double> h(n);
    h.add(view_of(x.data(), 3000, n));
    check_against_naive(h, x, 1e-12);
}

TEST_CASE("strides do not matter, and batches add up") {
    const std::size_t n = 40, tokens = 90;
    const auto x = random_inputs<float>(3, tokens * n);
    hessian whole(n), parts(n), columns(n);
    const auto view = view_of(x.data(), tokens, n);
    whole.add(view);
    parts.add(view.rows_from(0, 1));
    parts.add(view.rows_from(1, 0));
    parts.add(view.rows_from(1, tokens - 1));
    std::vector<float> transposed(x.size());
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t i = 0; i < n; ++i) transposed[i * tokens + t] = x[t * n + i];
    columns.add(matrix_view<const float>{transposed.data(), tokens, n, 1, static_cast<std::ptrdiff_t>(tokens)});
    check_against_naive(parts, x, 1e-5);
    CHECK((columns.to_matrix() == whole.to_matrix()));
    const xt::xtensor<float, 2> tensor = xt::ones<float>({tokens, n});
    hessian ones(n);
    ones.add(tensor);
    CHECK(ones.to_matrix()(3, 7) == 2.0F);
}

TEST_CASE("merged shards are one Hessian") {
    const std::size_t n = 33;
    const auto x = random_inputs<float>(4, 200 * n);
    const auto view = view_of(x.data(), 200, n);
    hessian a(n), b(n);
    a.add(view.rows_from(0, 50));
    b.add(view.rows_from(50, 150));
    a.merge(b);
    CHECK(a.tokens() == 200);
    check_against_naive(a, x, 1e-4);
}

TEST_CASE("a Hessian from elsewhere is taken as it is") {
    matrix<float> m = xt::zeros<float>({3, 3});
    m(0, 0) = 1;
    m(2, 0) = -0.5F;
    m(0, 2) = 99;  // not read
    const auto h = hessian<>::of(m);
    CHECK(h.to_matrix()(2, 0) == -0.5F);
    CHECK(h.to_matrix()(0, 2) == -0.5F);
    CHECK(h.to_matrix()(0, 0) == 1);
    const matrix<float> wide = xt::zeros<float>({3, 4});
    CHECK_THROWS_AS(hessian<>::of(wide), shape_error);
}

TEST_CASE("tokens that are not finite are left out and counted") {
    const std::size_t n = 10;
    auto x = random_inputs<float>(5, 30 * n);
    hessian clean(n), dirty(n);
    std::vector<float> kept;
    for (std::size_t t = 0; t < 30; ++t)
        if (t != 3 && t != 29)
            kept.insert(kept.end(), x.begin() + static_cast<long>(t * n), x.begin() + static_cast<long>(t * n + n));
    x[3 * n + 9] = std::numeric_limits<float>::quiet_NaN();
    x[29 * n] = -std::numeric_limits<float>::infinity();
    dirty.add(view_of(x.data(), 30, n));
    clean.add(view_of(kept.data(), 28, n));
    CHECK(dirty.tokens() == 28);
    CHECK(dirty.refused_tokens() == 2);
    CHECK((dirty.to_matrix() == clean.to_matrix()));
}

TEST_CASE("the sums are the same bits for every number of threads") {
    const std::size_t n = 300;
    const auto x = random_inputs<float>(6, 600 * n);
    hessian one(n);
    one.add(view_of(x.data(), 600, n), serial{});
    for (const std::size_t count : {2U, 3U, 7U}) {
        hessian many(n);
        many.add(view_of(x.data(), 600, n), threads{count});
        CHECK((many.to_matrix() == one.to_matrix()));
    }
}

TEST_CASE("a batch of another width is refused and changes nothing") {
    hessian h(4);
    const std::vector<float> x(15, 1.0F);
    CHECK_THROWS_WITH(h.add(view_of(x.data(), 5, 3)), "hessian::add: columns is 3, expected 4");
    CHECK(h.tokens() == 0);
    CHECK_THROWS_AS(h.merge(hessian(5)), shape_error);
    CHECK_THROWS_AS(hessian(0), shape_error);
}

}  // namespace
