#include <gptq/solve/asymmetric.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gptq/grid/uniform_grid.hpp>
#include <gptq/solve/tensors.hpp>

#include "support/catch.hpp"
#include "support/textbook.hpp"

namespace asymmetric_test {

namespace {

using namespace gptq;
using support::table;

matrix_view<const double> view(const table& t) { return view_of(t.values.data(), t.rows, t.cols); }

table product(const table& a, const table& b) {
    table c(a.rows, b.cols);
    for (std::size_t i = 0; i < a.rows; ++i)
        for (std::size_t k = 0; k < a.cols; ++k)
            for (std::size_t j = 0; j < b.cols; ++j) c(i, j) += a(i, k) * b(k, j);
    return c;
}

table transposed(const table& a) {
    table t(a.cols, a.rows);
    for (std::size_t r = 0; r < a.rows; ++r)
        for (std::size_t c = 0; c < a.cols; ++c) t(c, r) = a(r, c);
    return t;
}

/// Rows and columns in the given order.
template <class Order>
table chosen(const table& a, const Order& rows, const Order& cols) {
    table t(rows.size(), cols.size());
    for (std::size_t r = 0; r < rows.size(); ++r)
        for (std::size_t c = 0; c < cols.size(); ++c) t(r, c) = a(rows[r], cols[c]);
    return t;
}

/// A layer in two networks: inputs that are correlated, of different sizes, and deviate with what they are.
struct problem {
    table w, x, x_float;

    problem(unsigned seed, std::size_t out, std::size_t in, std::size_t tokens) : x(tokens, in), x_float(tokens, in) {
        std::mt19937 random(seed);
        std::normal_distribution<double> normal;
        w = support::random_table(random, out, in);
        const table mixing = support::random_table(random, in, in);
        for (std::size_t t = 0; t < tokens; ++t) {
            double previous = 0;
            for (std::size_t i = 0; i < in; ++i)
                x(t, i) = (previous = 0.7 * previous + normal(random)) * (1 + static_cast<double>(i % 5));
            for (std::size_t i = 0; i < in; ++i) {
                x_float(t, i) = x(t, i) + 0.1 * normal(random);
                for (std::size_t j = 0; j < in; ++j) x_float(t, i) += 0.02 * mixing(i, j) * x(t, j);
            }
        }
    }

    [[nodiscard]] factor<double> factored(act_order order = act_order::none, double damp = 0.01) const {
        hessian<double> h(x.cols);
        h.add(view(x));
        return factorize(std::move(h), {.damp_percent = damp, .order = order, .group_size = 4});
    }
    [[nodiscard]] input_deviation<double> deviation() const {
        input_deviation<double> d(x.cols);
        d.add(view(x_float), view(x));
        return d;
    }
    /// (2/T)·(X_float - X)ᵀ·X and (2/T)·XᵀX with the factor's damping.
    [[nodiscard]] table dense_deviation() const {
        table d = x_float;
        for (std::size_t i = 0; i < d.values.size(); ++i)
            d.values[i] = (d.values[i] - x.values[i]) * 2 / static_cast<double>(x.rows);
        return product(transposed(d), x);
    }
    [[nodiscard]] table dense_hessian(const factor<double>& f) const {
        table h = product(transposed(x), x);
        for (double& v : h.values) v *= 2 / static_cast<double>(x.rows);
        for (std::size_t p = 0; p < h.rows; ++p) {
            const std::size_t i = f.order[h.rows - 1 - p];
            h(i, i) += f.added[p];
        }
        return h;
    }
    /// ‖W·X_floatᵀ - Q·Xᵀ‖².
    [[nodiscard]] double output_error(const matrix<double>& q) const {
        double error = 0;
        for (std::size_t t = 0; t < x.rows; ++t)
            for (std::size_t r = 0; r < w.rows; ++r) {
                double miss = 0;
                for (std::size_t i = 0; i < x.cols; ++i) miss += w(r, i) * x_float(t, i) - q(r, i) * x(t, i);
                error += miss * miss;
            }
        return error;
    }
    [[nodiscard]] matrix<double> target(const factor<double>& f, const asymmetric_options& options) const {
        return asymmetric_target(view(w), asymmetric_correction(deviation(), f, options));
    }
};

void check_equal(const matrix<double>& found, const table& expected) {
    for (std::size_t r = 0; r < expected.rows; ++r)
        for (std::size_t c = 0; c < expected.cols; ++c) REQUIRE(found(r, c) == Approx(expected(r, c)).margin(1e-11));
}

const auto orders = {act_order::none, act_order::descending, act_order::group_aware};

TEST_CASE("the full correction is D times the inverse of the damped Hessian") {
    const problem p(1, 3, 21, 200);
    for (const act_order order : orders) {
        const auto f = p.factored(order);
        table expected = product(p.dense_deviation(), support::inverse(p.dense_hessian(f)));
        for (double& v : expected.values) v *= 0.7;
        check_equal(asymmetric_correction(p.deviation(), f, {.strength = 0.7, .causal = false}), expected);
    }
}

TEST_CASE("the causal correction makes up for a column with those that are taken after it") {
    const problem p(2, 3, 21, 200);
    for (const act_order order : orders) {
        const auto f = p.factored(order);
        const table d = p.dense_deviation(), h = p.dense_hessian(f);
        table expected(21, 21);
        for (std::size_t k = 0; k + 1 < 21; ++k) {
            const std::vector<std::uint32_t> column = {f.order[k]},
                                             rest(f.order.begin() + static_cast<long>(k) + 1, f.order.end());
            const table row = product(chosen(d, column, rest), support::inverse(chosen(h, rest, rest)));
            for (std::size_t i = 0; i < rest.size(); ++i) expected(column[0], rest[i]) = 0.25 * row(0, i);
        }
        check_equal(asymmetric_correction(p.deviation(), f, {.strength = 0.25, .causal = true}), expected);
    }
}

TEST_CASE("the causal correction is the P of GPTAQ") {
    const problem p(3, 3, 16, 100);
    const auto f = p.factored(act_order::descending);
    // In the order of the columns: UᵀU = H⁻¹, P = α·(strictly upper part of D·Uᵀ)·U.
    const table inverse = support::inverse(chosen(p.dense_hessian(f), f.order, f.order));
    table u(16, 16);
    for (std::size_t i = 0; i < 16; ++i)
        for (std::size_t j = i; j < 16; ++j) {
            double v = inverse(i, j);
            for (std::size_t k = 0; k < i; ++k) v -= u(k, i) * u(k, j);
            u(i, j) = i == j ? std::sqrt(v) : v / u(i, i);
        }
    table upper = product(chosen(p.dense_deviation(), f.order, f.order), transposed(u));
    for (std::size_t i = 0; i < 16; ++i)
        for (std::size_t j = 0; j <= i; ++j) upper(i, j) = 0;
    const table strict = product(upper, u);
    table expected(16, 16);
    for (std::size_t i = 0; i < 16; ++i)
        for (std::size_t j = 0; j < 16; ++j) expected(f.order[i], f.order[j]) = 0.5 * strict(i, j);
    check_equal(asymmetric_correction(p.deviation(), f, {.strength = 0.5, .causal = true}), expected);
}

TEST_CASE("the target is W + W·C, from weights of any type and strides") {
    const std::size_t out = 300, in = 24;
    const problem p(4, out, in, 100);
    const auto c = asymmetric_correction(p.deviation(), p.factored());
    table expected = p.w;
    for (std::size_t r = 0; r < out; ++r)
        for (std::size_t i = 0; i < in; ++i)
            for (std::size_t j = 0; j < in; ++j) expected(r, j) += p.w(r, i) * c(i, j);
    check_equal(asymmetric_target(view(p.w), c), expected);
    const table turned = transposed(p.w);
    check_equal(asymmetric_target(
                    matrix_view<const double>{turned.values.data(), out, in, 1, static_cast<std::ptrdiff_t>(out)}, c),
                expected);
    std::vector<f16> halves;
    table rounded(out, in);
    for (std::size_t i = 0; i < p.w.values.size(); ++i) {
        halves.push_back(round_to<f16>(p.w.values[i]));
        rounded.values[i] = to_float(halves.back());
    }
    CHECK((asymmetric_target(view_of(halves.data(), out, in), c) == asymmetric_target(view(rounded), c)));
}

TEST_CASE("without a deviation, or at strength 0, the target is W") {
    problem p(5, 4, 12, 50);
    const auto is_w = [&](const matrix<double>& target) { return std::ranges::equal(target, p.w.values); };
    CHECK(is_w(p.target(p.factored(), {.strength = 0, .causal = false})));
    p.x_float = p.x;
    CHECK(is_w(p.target(p.factored(), {.strength = 1, .causal = false})));
    CHECK(is_w(p.target(p.factored(), {.strength = 1, .causal = true})));
    CHECK(is_w(asymmetric_target(view(p.w), asymmetric_correction(input_deviation<double>(12), p.factored()))));
}

TEST_CASE("the full target without damping is the best there is for the calibration tokens") {
    const problem p(6, 4, 12, 300);
    const auto best = p.target(p.factored(act_order::none, 0), {.strength = 1, .causal = false});
    const double least = p.output_error(best);
    for (std::size_t i = 0; i < 12; ++i)
        for (const double step : {-1e-3, 1e-3}) {
            auto other = best;
            other(2, i) += step;
            CHECK(p.output_error(other) > least);
        }
}

TEST_CASE("codes that are solved for the target come closer to the float network's outputs") {
    for (const unsigned seed : {7U, 8U, 9U, 10U}) {
        const problem p(seed, 20, 32, 400);
        const auto f = p.factored(act_order::descending);
        const auto error_for = [&](const auto& weights) {
            const matrix<double> q = dequantize(solve(weights, f, uniform_grid{.bits = 4, .group_size = 16}).codes);
            return p.output_error(q);
        };
        const double plain = error_for(view(p.w));
        CHECK(error_for(p.target(f, {.strength = 0.25, .causal = true})) < 0.9 * plain);
        CHECK(error_for(p.target(f, {.strength = 0.25, .causal = false})) < 0.75 * plain);
        CHECK(error_for(p.target(f, {.strength = 1, .causal = true})) < 0.75 * plain);
        CHECK(error_for(p.target(f, {.strength = 1, .causal = false})) < 0.35 * plain);
    }
}

TEST_CASE("corrections and targets are the same bits for every number of threads") {
    const std::size_t in = 150, out = 90;
    const problem p(11, out, in, 300);
    hessian<float> h(in);
    h.add(view(p.x));
    input_deviation<float> d(in);
    d.add(view(p.x_float), view(p.x));
    const auto f = factorize(h, {.order = act_order::descending});
    for (const bool causal : {false, true}) {
        const asymmetric_options options{.strength = 0.5, .causal = causal};
        const auto c = asymmetric_correction(d, f, options, serial{});
        const auto target = asymmetric_target(view(p.w), c, serial{});
        for (const std::size_t count : {2U, 3U, 7U}) {
            CHECK((asymmetric_correction(d, f, options, threads{count}) == c));
            CHECK((asymmetric_target(view(p.w), c, threads{count}) == target));
        }
    }
}

TEST_CASE("what cannot be corrected is refused with its place") {
    const problem p(12, 3, 6, 40);
    const auto f = p.factored();
    for (const double wrong : {-0.1, 1.1, std::nan("")})
        CHECK_THROWS_AS(asymmetric_correction(p.deviation(), f, {.strength = wrong}), option_error);
    CHECK_THROWS_WITH(asymmetric_correction(input_deviation<double>(5), f),
                      "asymmetric_correction: features of the deviation is 5, expected 6");
    const std::vector<double> large(6, 1e300);
    input_deviation<double> overflowing(6);
    overflowing.add(view_of(large.data(), 1, 6), view_of(large.data(), 1, 6));
    const std::vector<double> negative(6, -1e300);
    overflowing.add(view_of(negative.data(), 1, 6), view_of(large.data(), 1, 6));
    CHECK_THROWS_WITH(asymmetric_correction(overflowing, f),
                      "asymmetric_correction: the deviation is not finite at feature 0");
    const auto c = asymmetric_correction(p.deviation(), f);
    table w = p.w;
    w(1, 4) = std::nan("");
    CHECK_THROWS_WITH(asymmetric_target(view(w), c), "asymmetric_target: weight at row 1, column 4 is not finite");
    CHECK_THROWS_WITH(asymmetric_target(view_of(w.values.data(), 2, 5), c),
                      "asymmetric_target: columns of the weights is 5, expected 6");
    CHECK_THROWS_AS(asymmetric_target(view(p.w), matrix<double>::from_shape({6, 5})), shape_error);
}

}  // namespace

}  // namespace asymmetric_test
