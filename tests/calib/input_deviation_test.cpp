#include <gptq/calib/input_deviation.hpp>

#include <algorithm>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include <gptq/calib/hessian.hpp>

#include "support/catch.hpp"

namespace input_deviation_test {

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

/// (2/Σw)·Σ w·(x_float - x)_i·x_j in double.
template <class F, class X>
double naive(const std::vector<F>& x_float, const std::vector<X>& x, const std::vector<float>& w, std::size_t i,
             std::size_t j) {
    const std::size_t n = x.size() / w.size();
    double sum = 0, weight = 0;
    for (std::size_t t = 0; t < w.size(); ++t) {
        const double deviation =
            static_cast<double>(to_float(x_float[t * n + i])) - static_cast<double>(to_float(x[t * n + i]));
        sum += static_cast<double>(w[t]) * deviation * static_cast<double>(to_float(x[t * n + j]));
        weight += static_cast<double>(w[t]);
    }
    return 2 * sum / weight;
}

template <class T>
bool same(input_deviation<T> a, input_deviation<T> b) {
    const bool counts = a.tokens() == b.tokens() && a.weight() == b.weight() &&
                        a.refused_tokens() == b.refused_tokens() && a.unmatched_tokens() == b.unmatched_tokens();
    return counts && std::move(a).take_matrix() == std::move(b).take_matrix();
}

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

TEST_CASE("the row of D is the feature that deviates, the column the input") {
    const std::vector<float> x = {1, 0}, x_float = {1, 2};
    input_deviation d(2);
    d.add(view_of(x_float.data(), 1, 2), view_of(x.data(), 1, 2));
    const auto m = std::move(d).take_matrix();
    CHECK(m(1, 0) == 4);
    CHECK(m(0, 0) == 0);
    CHECK(m(0, 1) == 0);
    CHECK(m(1, 1) == 0);
}

TEMPLATE_TEST_CASE("D is the weighted sum of deviations times inputs, from every storage type", "", float, double, f16,
                   bf16) {
    for (const std::size_t n : {1U, 3U, 140U}) {
        const std::size_t tokens = 600;
        const auto x = random_inputs<TestType>(1, tokens * n);
        const auto x_float = random_inputs<float>(2, tokens * n);
        auto weights = random_inputs<float>(3, tokens);
        for (float& w : weights) w = std::abs(w);
        const auto check = [&](input_deviation<float> d, const std::vector<float>& w) {
            const auto m = std::move(d).take_matrix();
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < n; ++j)
                    // |Σ| ≤ T·ε·Σ|d_i·x_j|, and Σ|d_i·x_j|·2/T is about 2·√2·2/π here.
                    REQUIRE(static_cast<double>(m(i, j)) ==
                            Approx(naive(x_float, x, w, i, j)).margin(tokens * 0x1p-23 * 2));
        };
        input_deviation plain(n), weighted(n), columns(n);
        plain.add(view_of(x_float.data(), tokens, n), view_of(x.data(), tokens, n));
        check(plain, std::vector<float>(tokens, 1.0F));
        weighted.add(view_of(x_float.data(), tokens, n), view_of(x.data(), tokens, n), weights);
        check(weighted, weights);
        std::vector<TestType> turned(x.size());
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t i = 0; i < n; ++i) turned[i * tokens + t] = x[t * n + i];
        columns.add(view_of(x_float.data(), tokens, n),
                    matrix_view<const TestType>{turned.data(), tokens, n, 1, static_cast<std::ptrdiff_t>(tokens)});
        CHECK(same(columns, plain));
    }
}

TEST_CASE("the tokens that the Hessian takes are those that its deviation takes") {
    const std::size_t n = 5, tokens = 700;
    auto x = random_inputs<float>(4, tokens * n), x_float = random_inputs<float>(5, tokens * n);
    std::vector<float> weights(tokens, 2.0F);
    weights[1] = 0;
    x[1 * n] = nan;
    x[2 * n] = nan;
    x[600 * n] = nan;
    x_float[600 * n] = nan;
    x_float[650 * n] = std::numeric_limits<float>::infinity();
    hessian h(n);
    input_deviation d(n);
    h.add(view_of(x.data(), tokens, n), weights);
    d.add(view_of(x_float.data(), tokens, n), view_of(x.data(), tokens, n), weights);
    CHECK(d.tokens() == h.tokens());
    CHECK(d.tokens() == tokens - 3);
    CHECK(d.refused_tokens() == h.refused_tokens());
    CHECK(d.weight() == h.weight());
    CHECK(d.unmatched_tokens() == 1);

    // A token that is not finite in the float network alone counts as one that does not deviate.
    std::copy_n(&x[650 * n], n, &x_float[650 * n]);
    input_deviation still(n);
    still.add(view_of(x_float.data(), tokens, n), view_of(x.data(), tokens, n), weights);
    CHECK(still.unmatched_tokens() == 0);
    CHECK((std::move(still).take_matrix() == std::move(d).take_matrix()));
}

TEST_CASE("inputs that do not deviate leave D zero") {
    const auto x = random_inputs<float>(6, 600);
    input_deviation d(6);
    d.add(view_of(x.data(), 100, 6), view_of(x.data(), 100, 6));
    CHECK(d.tokens() == 100);
    CHECK((std::move(d).take_matrix() == xt::zeros<float>({6, 6})));
    CHECK((input_deviation(3).take_matrix() == xt::zeros<float>({3, 3})));
}

TEST_CASE("merged deviations are one") {
    const std::size_t n = 30;
    const auto x = random_inputs<float>(7, 200 * n), x_float = random_inputs<float>(8, 200 * n);
    const auto a = view_of(x_float.data(), 200, n), b = view_of(x.data(), 200, n);
    input_deviation<double> whole(n), first(n), second(n);
    whole.add(a, b);
    first.add(a.rows_from(0, 70), b.rows_from(0, 70));
    second.add(a.rows_from(70, 130), b.rows_from(70, 130));
    first.merge(second);
    CHECK(first.tokens() == 200);
    CHECK(xt::amax(xt::abs(std::move(first).take_matrix() - std::move(whole).take_matrix()))() < 1e-13);
    CHECK_THROWS_WITH(second.merge(input_deviation<double>(n + 1)),
                      "input_deviation::merge: in_features is 31, expected 30");
}

TEST_CASE("the sums of deviations are the same bits for every number of threads") {
    const std::size_t n = 300, tokens = 1100;
    auto x = random_inputs<float>(9, tokens * n), x_float = random_inputs<float>(10, tokens * n);
    x[7] = x_float[900 * n] = nan;
    const auto sum = [&](auto&& run) {
        input_deviation d(n);
        d.add(view_of(x_float.data(), tokens, n), view_of(x.data(), tokens, n), run);
        return d;
    };
    const auto one = sum(serial{});
    for (const std::size_t count : {2U, 3U, 7U}) CHECK(same(sum(threads{count}), one));
}

TEST_CASE("inputs of other shapes are refused and change nothing") {
    const std::vector<float> x(12, 1.0F), y(12, 2.0F);
    input_deviation d(3);
    const auto in = [](const std::vector<float>& v, std::size_t rows, std::size_t cols) {
        return view_of(v.data(), rows, cols);
    };
    CHECK_THROWS_WITH(d.add(in(y, 4, 3), in(x, 3, 4)), "input_deviation::add: columns of x is 4, expected 3");
    CHECK_THROWS_WITH(d.add(in(y, 3, 4), in(x, 4, 3)), "input_deviation::add: columns of x_float is 4, expected 3");
    CHECK_THROWS_WITH(d.add(in(y, 3, 3), in(x, 4, 3)), "input_deviation::add: rows of x_float is 3, expected 4");
    CHECK_THROWS_WITH(d.add(in(y, 4, 3), in(x, 4, 3), std::vector{1.0F}),
                      "input_deviation::add: number of token weights is 1, expected 4");
    CHECK_THROWS_AS(d.add(in(y, 4, 3), in(x, 4, 3), std::vector{1.0F, 1.0F, nan, 1.0F}), numeric_error);
    CHECK(d.tokens() == 0);
    CHECK_THROWS_AS(input_deviation(0), shape_error);
}

}  // namespace

}  // namespace input_deviation_test
