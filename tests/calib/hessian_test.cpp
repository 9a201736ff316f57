#include <gptq/calib/hessian.hpp>

#include <algorithm>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "support/catch.hpp"

namespace hessian_test {

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

/// (2/Σw)·Σ w·x_i·x_j in double.
template <class T>
double naive(const std::vector<T>& x, const std::vector<float>& w, std::size_t i, std::size_t j) {
    const std::size_t n = x.size() / w.size();
    double sum = 0, weight = 0;
    for (std::size_t t = 0; t < w.size(); ++t) {
        if (w[t] == 0) continue;
        sum += static_cast<double>(w[t]) * static_cast<double>(to_float(x[t * n + i])) *
               static_cast<double>(to_float(x[t * n + j]));
        weight += static_cast<double>(w[t]);
    }
    return 2 * sum / weight;
}

template <class T, class S>
void check_against_naive(const hessian<S>& h, const std::vector<T>& x, const std::vector<float>& w, double tolerance) {
    const std::size_t n = h.in_features();
    const auto m = h.to_matrix();
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
            // |Σ| ≤ T·ε·Σ|x_i·x_j|, and Σ|x_i·x_j|·2/T is about 2·2/π here.
            REQUIRE(static_cast<double>(m(i, j)) == Approx(naive(x, w, i, j)).margin(tolerance));
}

template <class T, class S>
void check_against_naive(const hessian<S>& h, const std::vector<T>& x, double tolerance) {
    check_against_naive(h, x, std::vector<float>(x.size() / h.in_features(), 1.0F), tolerance);
}

/// The same sums, bit for bit, and the same counts.
template <class T>
void check_same(const hessian<T>& a, const hessian<T>& b) {
    CHECK(a.tokens() == b.tokens());
    CHECK(a.refused_tokens() == b.refused_tokens());
    CHECK(a.weight() == b.weight());
    for (std::size_t r = 0; r < a.in_features(); ++r) REQUIRE(std::ranges::equal(a.sum_row(r), b.sum_row(r)));
}

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

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
    CHECK(parts.tokens() == tokens);
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
    CHECK(a.weight() == 200);
    check_against_naive(a, x, 1e-4);

    hessian heavy(n);
    heavy.add(view.rows_from(0, 50), std::vector<float>(50, 3.0F));
    heavy.merge(b);
    std::vector<float> weights(200, 1.0F);
    std::fill_n(weights.begin(), 50, 3.0F);
    CHECK(heavy.tokens() == 200);
    CHECK(heavy.weight() == 300);
    check_against_naive(heavy, x, weights, 1e-4);
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
    x[3 * n + 9] = nan;
    x[29 * n] = -infinity;
    dirty.add(view_of(x.data(), 30, n));
    clean.add(view_of(kept.data(), 28, n));
    CHECK(dirty.tokens() == 28);
    CHECK(dirty.refused_tokens() == 2);
    CHECK((dirty.to_matrix() == clean.to_matrix()));
}

TEST_CASE("a token that is not finite in the Hessian's type is refused") {
    const std::vector<double> large = {1e300, 1, 2, 3};
    hessian single(2);
    hessian<double> wide(2);
    single.add(view_of(large.data(), 2, 2));
    wide.add(view_of(large.data(), 2, 2));
    CHECK(single.tokens() == 1);
    CHECK(single.refused_tokens() == 1);
    CHECK(single.to_matrix()(1, 1) == 18);
    CHECK(wide.tokens() == 2);
    hessian weighted(2);
    const std::vector<float> x = {1e30F, 1, 2, 3};
    weighted.add(view_of(x.data(), 2, 2), std::vector{1e20F, 4.0F});
    CHECK(weighted.refused_tokens() == 1);
    CHECK(weighted.weight() == 4);
    CHECK(weighted.to_matrix()(1, 1) == 18);
}

TEMPLATE_TEST_CASE("token weights weigh the outer products, and H is divided by their sum", "", float, double, f16,
                   bf16) {
    const std::size_t n = 70, tokens = 600;
    const auto x = random_inputs<TestType>(7, tokens * n);
    auto weights = random_inputs<float>(8, tokens);
    double sum = 0;
    for (float& w : weights) sum += static_cast<double>(w = w < 0 ? 0 : w);
    hessian h(n);
    h.add(view_of(x.data(), tokens, n), weights);
    CHECK(h.weight() == Approx(sum));
    CHECK(h.tokens() == static_cast<std::size_t>(std::ranges::count_if(weights, [](float w) { return w > 0; })));
    check_against_naive(h, x, weights, static_cast<double>(tokens) * 0x1p-23 * 1.5);
}

TEST_CASE("tokens of weight 1 are tokens without weights, and those of weight 0 are not looked at") {
    const std::size_t n = 20, tokens = 700, used = 650;
    auto x = random_inputs<float>(9, tokens * n);
    std::vector<float> weights(tokens, 1.0F);
    hessian plain(n), masked(n);
    plain.add(view_of(x.data(), used, n));
    for (std::size_t t = used; t < tokens; ++t) weights[t] = 0;
    for (std::size_t i = used * n; i < x.size(); ++i) x[i] = i % 2 == 0 ? nan : infinity;
    masked.add(view_of(x.data(), tokens, n), weights);
    check_same(masked, plain);
    CHECK(masked.weight() == used);
    masked.add(view_of(x.data(), 5, n), std::vector<float>(5, 0.0F));
    check_same(masked, plain);
}

TEST_CASE("weights of any size keep their scale out of H") {
    const std::vector<float> x = {1, 2, -1, 3};
    for (const float w : {1e-30F, 1.0F, 1e30F}) {
        hessian h(2);
        h.add(view_of(x.data(), 2, 2), std::vector{w, w});
        CHECK(h.to_matrix()(0, 0) == Approx(2));
        CHECK(h.to_matrix()(1, 0) == Approx(-1));
        CHECK(h.to_matrix()(1, 1) == Approx(13));
    }
}

TEST_CASE("a weight that cannot be is refused and changes nothing") {
    hessian h(2);
    const std::vector<float> x(2000, 1.0F);
    const auto view = view_of(x.data(), 1000, 2);
    std::vector<float> weights(1000, 1.0F);
    CHECK_THROWS_WITH(h.add(view, std::span(weights).first(999)),
                      "hessian::add: number of token weights is 999, expected 1000");
    CHECK_THROWS_WITH(h.add(view, std::vector<float>{}), "hessian::add: number of token weights is 0, expected 1000");
    weights[900] = -0.5F;
    CHECK_THROWS_WITH(h.add(view, weights),
                      "hessian::add: the weight of token 900 is -0.5, expected a finite number that is not negative");
    for (const float wrong : {nan, infinity, -infinity}) {
        weights[900] = wrong;
        CHECK_THROWS_AS(h.add(view, weights), numeric_error);
    }
    CHECK(h.tokens() == 0);
    CHECK(h.weight() == 0);
    CHECK(h.to_matrix()(0, 0) == 0);
}

TEMPLATE_TEST_CASE("the sums are the same bits for every number of threads", "", float, f16) {
    const std::size_t n = 300, tokens = 1100;
    auto x = random_inputs<TestType>(6, tokens * n);
    x[70 * n + 5] = round_to<TestType>(nan);
    x[1099 * n] = round_to<TestType>(infinity);
    std::vector<float> weights(tokens, 0.3F);
    weights[40] = 0;
    const auto sum = [&](auto&& run) {
        hessian h(n);
        h.add(view_of(x.data(), tokens, n), run);
        h.add(view_of(x.data(), tokens, n), weights, run);
        return h;
    };
    const auto one = sum(serial{});
    CHECK(one.refused_tokens() == 4);
    CHECK(one.tokens() == 2 * tokens - 5);
    for (const std::size_t count : {2U, 3U, 7U}) check_same(sum(threads{count}), one);
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

}  // namespace hessian_test
