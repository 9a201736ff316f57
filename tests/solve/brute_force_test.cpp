// How good is greedy? Codes against the best of all codes where these can be enumerated, and against rounding to
// nearest where they cannot. Prints the tables of docs/quality.md.
#include <gptq/solve/solver.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/grid/uniform_grid.hpp>

#include "support/catch.hpp"
#include "support/random_problem.hpp"
#include "support/tables.hpp"
#include "support/textbook.hpp"

namespace brute_force_test {

namespace {

using namespace gptq;
using support::table;

/// The least e·H·eᵀ of all ways to give codes to the columns that have no error in `e` yet.
double least_loss(std::span<const double> w, const table& h, const uniform_grid& grid, affine p, double so_far = 0,
                  std::span<const double> e = {}) {
    const std::size_t i = e.size();
    if (i == w.size()) return so_far;
    double coupling = 0;
    for (std::size_t j = 0; j < i; ++j) coupling += h(i, j) * e[j];
    std::vector<double> longer(e.begin(), e.end());
    longer.push_back(0);
    double least = std::numeric_limits<double>::infinity();
    for (unsigned code = 0; code <= grid.maxq(); ++code) {
        longer[i] = w[i] - grid.dequantize(static_cast<double>(code), p);
        const double added = longer[i] * (2 * coupling + h(i, i) * longer[i]);
        least = std::min(least, least_loss(w, h, grid, p, so_far + added, longer));
    }
    return least;
}

/// L·Lᵀ = H with rows and columns from the last of `order` to the first.
template <class Order>
table reversed_cholesky(const table& h, const Order& order) {
    const std::size_t n = h.rows;
    table lower(n, n);
    for (std::size_t r = 0; r < n; ++r)
        for (std::size_t c = 0; c <= r; ++c) {
            double rest = h(order[n - 1 - r], order[n - 1 - c]);
            for (std::size_t k = 0; k < c; ++k) rest -= lower(r, k) * lower(c, k);
            lower(r, c) = r == c ? std::sqrt(rest) : rest / lower(c, c);
        }
    return lower;
}

/// Babai's bound ¼·Σ (s·L_jj)² on the loss of a row in which no value lies beyond the grid's ends; else infinity.
template <class Order>
double babai_bound(const table& w, const table& e, std::size_t row, const table& lower, const Order& order,
                   const uniform_grid& grid, affine p) {
    const std::size_t n = order.size();
    const double scale = p.scale;
    double bound = 0;
    for (std::size_t j = n; j-- > 0;) {
        double pushed = 0;
        for (std::size_t i = j + 1; i < n; ++i) pushed += e(row, order[n - 1 - i]) * lower(i, j);
        const double steps = (w(row, order[n - 1 - j]) + pushed / lower(j, j)) / scale + p.zero;
        if (steps < -0.5 || steps > grid.maxq() + 0.5) return std::numeric_limits<double>::infinity();
        bound += std::pow(scale * lower(j, j), 2) / 4;
    }
    return bound;
}

/// Losses over those of a rival, and what a table says of them.
class ratios {
public:
    void add(double ratio) { values_.push_back(ratio); }
    /// Whether shares mean anything: not where few seeds were chosen.
    [[nodiscard]] bool enough() const { return values_.size() >= 60; }
    /// How many are at most `limit`, in percent.
    [[nodiscard]] double percent_within(double limit) const {
        return 100.0 * static_cast<double>(std::ranges::count_if(values_, [&](double r) { return r <= limit; })) /
               static_cast<double>(values_.size());
    }
    [[nodiscard]] double percent_above(double limit) const { return 100 - percent_within(limit); }
    [[nodiscard]] double quantile(double share) {
        std::ranges::sort(values_);
        return values_[static_cast<std::size_t>(share * static_cast<double>(values_.size() - 1))];
    }

private:
    std::vector<double> values_;
};

/// A ratio at most this is 1, and what is left is rounding.
constexpr double equal = 1 + 1e-9;

/// One number of columns: losses over the least, of each way to choose codes.
struct tiny_problems {
    ratios nearest, natural, falling;
    std::size_t rows = 0, unclipped = 0;

    void add(std::uint32_t seed, std::size_t n) {
        std::mt19937 random(seed);
        const auto h = support::random_hessian(random, n, 3 * n);
        const auto w = support::random_table(random, 10, n);
        const uniform_grid grid{.bits = 2, .group_size = per_row, .sym = false, .scales = scale_type::f32};
        const auto fitted = solve(w, factorize(hessian<double>::of(h)), grid).codes.parameters;
        table to_nearest(w.rows, n);
        std::vector<double> least;
        for (std::size_t r = 0; r < w.rows; ++r) {
            for (std::size_t i = 0; i < n; ++i)
                to_nearest(r, i) = w(r, i) - grid.dequantize(grid.round(w(r, i), fitted[r]), fitted[r]);
            least.push_back(least_loss({&w.values[r * n], n}, h, grid, fitted[r]));
            nearest.add(support::row_loss(to_nearest, h, r) / least[r]);
        }
        for (const auto order : {act_order::none, act_order::descending}) {
            const auto f = factorize(hessian<double>::of(h), {.damp_percent = 0, .order = order});
            const auto q = solve(w, f, grid).codes;
            REQUIRE((q.parameters == fitted));
            const auto e = support::errors_of(w, q);
            const auto lower = reversed_cholesky(h, f.order);
            for (std::size_t r = 0; r < w.rows; ++r) {
                const double loss = support::row_loss(e, h, r);
                REQUIRE(loss >= (2 - equal) * least[r]);
                (order == act_order::none ? natural : falling).add(loss / least[r]);
                const double bound = babai_bound(w, e, r, lower, f.order, grid, fitted[r]);
                REQUIRE(loss <= equal * bound);
                ++rows;
                unclipped += static_cast<std::size_t>(std::isfinite(bound));
            }
        }
    }
};

TEST_CASE("codes of tiny problems are compared with the best of all codes", "[greedy]") {
    std::vector<tiny_problems> sizes(7);
    support::for_each_seed(400, [&](std::uint32_t seed) {
        for (std::size_t n = 1; n < sizes.size(); ++n) sizes[n].add(seed, n);
    });
    std::printf("| columns | codes | best of all | median | 90 %% | 99 %% | worst |\n|---|---|---|---|---|---|---|\n");
    for (std::size_t n = 1; n < sizes.size(); ++n) {
        tiny_problems& s = sizes[n];
        const auto print = [n](const char* codes, ratios& r) {
            std::printf("| %zu | %s | %.1f %% | %.2f | %.2f | %.2f | %.2f |\n", n, codes, r.percent_within(equal),
                        r.quantile(0.5), r.quantile(0.9), r.quantile(0.99), r.quantile(1));
        };
        print("nearest", s.nearest);
        print("natural order", s.natural);
        print("act-order", s.falling);
        if (!s.nearest.enough()) continue;
        CHECK(s.natural.percent_within(equal) >= (n == 1 ? 100 : s.nearest.percent_within(equal)));
        CHECK(s.falling.percent_within(equal) >= s.natural.percent_within(equal));
        // What these seeds give, and a margin.
        CHECK(s.natural.percent_within(equal) >= 30);
        CHECK(s.falling.percent_within(equal) >= 65);
        CHECK(s.natural.quantile(0.9) <= 2.3);
        CHECK(s.falling.quantile(0.9) <= 1.5);
        CHECK(4 * s.unclipped >= s.rows);
    }
}

/// A layer and what rounding to nearest makes of it.
struct large_layer {
    table h, w, nearest_errors;
    uniform_grid grid;
};

large_layer large_layer_of(std::uint32_t seed, bool outliers) {
    std::mt19937 random(seed);
    const std::size_t n = support::between(random, 64, 112);
    auto kind = support::random_kind(random);
    kind.outliers = outliers;
    large_layer layer;
    layer.h = support::random_hessian(random, n, kind);
    layer.w = support::random_table(random, support::between(random, 64, 96), n);
    layer.grid = {.bits = support::pick(random, {2U, 3U, 4U, 8U}),
                  .group_size = static_cast<std::ptrdiff_t>(support::between(random, 8, n / 2)),
                  .sym = support::one_in(random, 2)};
    layer.nearest_errors = support::errors_of(layer.w, round_to_nearest(layer.w, layer.grid));
    return layer;
}

/// Losses of layers and of their rows over rounding to nearest's.
struct against_nearest {
    ratios layers, rows;

    void add(const large_layer& layer, const quantized<uniform_grid>& q) {
        const table e = support::errors_of(layer.w, q);
        double loss = 0, rival = 0;
        for (std::size_t r = 0; r < e.rows; ++r) {
            const double row = support::row_loss(e, layer.h, r);
            const double nearest = support::row_loss(layer.nearest_errors, layer.h, r);
            rows.add(row / nearest);
            loss += row;
            rival += nearest;
        }
        layers.add(loss / rival);
    }
};

TEST_CASE("layers and rows that rounding to nearest would have served better are counted", "[greedy]") {
    struct setting {
        bool outliers;
        double damping;
        act_order order;
        const char* name;
        against_nearest fixed, fitted;
    };
    std::vector<setting> settings;
    for (const bool outliers : {false, true})
        for (const double damping : {0.0, 0.01})
            for (const auto& [order, name] :
                 {std::pair{act_order::none, "natural order"}, std::pair{act_order::descending, "act-order"},
                  std::pair{act_order::group_aware, "group-aware order"}})
                settings.push_back({outliers, damping, order, name, {}, {}});
    support::for_each_seed(60, [&](std::uint32_t seed) {
        const large_layer layers[] = {large_layer_of(seed, false), large_layer_of(seed, true)};
        for (setting& s : settings) {
            const auto& layer = layers[s.outliers ? 1 : 0];
            const auto f = factorize(hessian<float>::of(layer.h), {s.damping, s.order, layer.grid.group_size});
            s.fixed.add(layer, solve(layer.w, f, layer.grid, {.static_groups = true}).codes);
            s.fitted.add(layer, solve(layer.w, f, layer.grid).codes);
        }
    });
    std::printf(
        "| inputs | damping | order | static groups: layers | rows | worst layer | groups fitted when reached: "
        "layers | rows | worst layer |\n|---|---|---|---|---|---|---|---|---|\n");
    for (setting& s : settings) {
        std::printf("| %s | %g | %s |", s.outliers ? "outliers" : "no outliers", s.damping, s.name);
        for (against_nearest* const p : {&s.fixed, &s.fitted})
            std::printf(" %.2f %% | %.1f %% | %.3g |", p->layers.percent_above(1), p->rows.percent_above(1),
                        p->layers.quantile(1));
        std::printf("\n");
        if (s.damping > 0 && !s.outliers) {
            CHECK(s.fixed.layers.quantile(1) <= 1);
            if (s.fixed.layers.enough()) CHECK(s.fixed.rows.percent_above(1) <= (s.order == act_order::none ? 5 : 1));
        }
    }
}

}  // namespace

}  // namespace brute_force_test
