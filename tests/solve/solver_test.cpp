#include <gptq/solve/solver.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/solve/tensors.hpp>

#include "support/catch.hpp"
#include "support/textbook.hpp"

namespace solver_test {

namespace {

using namespace gptq;
using support::table;

template <class T>
hessian<T> hessian_of(const table& h) {
    return hessian<T>::of(view_of(h.values.data(), h.rows, h.cols));
}

matrix_view<const double> weights_of(const table& w) { return view_of(w.values.data(), w.rows, w.cols); }

template <grid G>
table errors(const table& w, const quantized<G>& q) {
    table e(w.rows, w.cols);
    for (std::size_t o = 0; o < w.rows; ++o)
        for (std::size_t i = 0; i < w.cols; ++i) e(o, i) = w(o, i) - static_cast<double>(q.value(o, i));
    return e;
}

table damped(table h, double lambda) {
    for (std::size_t i = 0; i < h.rows; ++i) h(i, i) += lambda;
    return h;
}

/// Rows of codes that differ: a rounding tie that falls the other way changes the rest of its row.
std::size_t rows_that_differ(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b, std::size_t rows) {
    const std::size_t cols = a.size() / rows;
    std::size_t count = 0;
    for (std::size_t r = 0; r < rows; ++r)
        count += static_cast<std::size_t>(!std::equal(a.begin() + static_cast<long>(r * cols),
                                                      a.begin() + static_cast<long>(r * cols + cols),
                                                      b.begin() + static_cast<long>(r * cols)));
    return count;
}

TEST_CASE("in double the codes are the textbook's, for every order, group and width") {
    std::mt19937 random(1);
    for (const std::size_t n : {1U, 5U, 40U, 100U})
        for (const auto order : {act_order::none, act_order::descending, act_order::group_aware})
            for (const std::ptrdiff_t group : {-1L, 1L, 8L, 16L, 24L, 64L})
                for (const bool sym : {true, false}) {
                    const std::size_t rows = 19;
                    const auto h = support::random_hessian(random, n, 2 * n + 5);
                    const auto w = support::random_table(random, rows, n);
                    const uniform_grid grid{.bits = 3, .group_size = group, .sym = sym, .scales = scale_type::f32};
                    const auto f = factorize(hessian_of<double>(h), {.order = order, .group_size = group});
                    const auto [q, report] = solve(weights_of(w), f, grid, {.block_size = 32});
                    const std::size_t size = group > 0 ? static_cast<std::size_t>(group) : n;
                    // Group-aware: a ragged last group is last, so runs of the order are groups there too.
                    const auto expected = support::textbook_gptq(w, damped(h, f.damping), f.order, grid, size);
                    INFO("n " << n << ", group " << group << ", sym " << sym << ", order " << static_cast<int>(order));
                    // Symmetric grids put the largest weight of a group on a tie between two codes.
                    CHECK(rows_that_differ(q.codes, expected.codes, rows) <= (sym ? 3U : 0U));
                    const auto e = errors(w, q);
                    CHECK(report.loss == Approx(support::quadratic_loss(e, h)).epsilon(1e-5).margin(1e-9));
                    CHECK(report.damped_loss ==
                          Approx(support::quadratic_loss(e, damped(h, f.damping))).epsilon(1e-5).margin(1e-9));
                }
}

TEST_CASE("static groups are fitted on the untouched weights, in their original columns") {
    std::mt19937 random(2);
    const std::size_t rows = 20, n = 50;
    const auto h = support::random_hessian(random, n, 100);
    const auto w = support::random_table(random, rows, n);
    const uniform_grid grid{.group_size = 16, .sym = false};
    const auto f = factorize(hessian_of<float>(h), {.order = act_order::descending});
    const auto q = solve(weights_of(w), f, grid, {.static_groups = true}).codes;
    const auto nearest = round_to_nearest(weights_of(w), grid);
    CHECK(q.parameters == nearest.parameters);
    CHECK(q.g_idx == nearest.g_idx);
}

TEST_CASE("g_idx tells where a column's group came from") {
    std::mt19937 random(3);
    const std::size_t n = 50;
    const auto h = support::random_hessian(random, n, 100);
    const auto w = support::random_table(random, 4, n);
    const uniform_grid grid{.group_size = 16};
    const auto along = factorize(hessian_of<float>(h), {.order = act_order::descending});
    const auto q = solve(weights_of(w), along, grid).codes;
    for (std::size_t k = 0; k < n; ++k) CHECK(q.g_idx[along.order[k]] == static_cast<std::int32_t>(k / 16));
    const auto aware = factorize(hessian_of<float>(h), {.order = act_order::group_aware, .group_size = 16});
    const auto r = solve(weights_of(w), aware, grid).codes;
    for (std::size_t i = 0; i < n; ++i) CHECK(r.g_idx[i] == static_cast<std::int32_t>(i / 16));
}

TEST_CASE("the block size does not matter") {
    std::mt19937 random(4);
    const auto h = support::random_hessian(random, 96, 200);
    const auto w = support::random_table(random, 40, 96);
    for (const std::ptrdiff_t group : {-1L, 8L, 32L, 64L}) {
        const uniform_grid grid{.group_size = group, .sym = false};
        const auto f = factorize(hessian_of<double>(h), {.order = act_order::none});
        const auto whole = solve(weights_of(w), f, grid, {.block_size = 96}).codes;
        for (const std::size_t block : {1U, 7U, 16U, 32U, 50U, 1000U})
            CHECK(solve(weights_of(w), f, grid, {.block_size = block}).codes.codes == whole.codes);
    }
}

TEST_CASE("an identity Hessian, and one of zeros, round to nearest") {
    std::mt19937 random(5);
    const auto w = support::random_table(random, 30, 70);
    table identity(70, 70);
    for (std::size_t i = 0; i < 70; ++i) identity(i, i) = 1;
    for (const auto order : {act_order::none, act_order::group_aware})
        for (const bool sym : {true, false}) {
            const uniform_grid grid{.group_size = 32, .sym = sym};
            const auto nearest = round_to_nearest(weights_of(w), grid);
            const factor_options options{.order = order, .group_size = 32};
            const auto q = solve(weights_of(w), factorize(hessian_of<float>(identity), options), grid).codes;
            CHECK(q.codes == nearest.codes);
            CHECK(q.parameters == nearest.parameters);
            CHECK(solve(weights_of(w), factorize(hessian<float>(70), options), grid).codes.codes == nearest.codes);
        }
}

TEST_CASE("the relative error is the output error over the output") {
    std::mt19937 random(6);
    const auto h = support::random_hessian(random, 60, 90);
    const auto w = support::random_table(random, 25, 60);
    const auto f = factorize(hessian_of<double>(h));
    const auto [q, report] = solve(weights_of(w), f, uniform_grid{.bits = 3}, {.relative_error = true});
    CHECK(report.relative_error.value() ==
          Approx(support::quadratic_loss(errors(w, q), h) / support::quadratic_loss(w, h)).epsilon(1e-5));
}

TEST_CASE("codes do not depend on threads, nor on the rows beside them") {
    std::mt19937 random(7);
    const std::size_t rows = 300, n = 200;
    const auto h = support::random_hessian(random, n, 300);
    const auto w = support::random_table(random, rows, n);
    const auto f = factorize(hessian_of<float>(h));
    const uniform_grid grid{};
    const auto one = solve(weights_of(w), f, grid, {}, serial{}).codes;
    for (const std::size_t count : {2U, 3U, 7U})
        CHECK(solve(weights_of(w), f, grid, {}, threads{count}).codes.codes == one.codes);
    for (const std::size_t cut : {1U, 16U, 77U, 256U}) {
        auto codes = solve(weights_of(w).rows_from(0, cut), f, grid).codes.codes;
        const auto rest = solve(weights_of(w).rows_from(cut, rows - cut), f, grid).codes.codes;
        codes.insert(codes.end(), rest.begin(), rest.end());
        CHECK(codes == one.codes);
    }
}

TEST_CASE("weights of every storage type and stride are only read") {
    std::mt19937 random(8);
    const auto h = support::random_hessian(random, 32, 64);
    const auto f = factorize(hessian_of<float>(h));
    std::vector<f16> halves(8 * 32);
    std::vector<float> floats(8 * 32), transposed(8 * 32);
    for (std::size_t i = 0; i < halves.size(); ++i) {
        halves[i] = round_to<f16>(std::sin(static_cast<float>(i)));
        floats[i] = to_float(halves[i]);
        transposed[i % 32 * 8 + i / 32] = floats[i];
    }
    const auto before = floats;
    const uniform_grid grid{};
    const auto q = solve(view_of(floats.data(), 8, 32), f, grid).codes;
    CHECK(floats == before);
    CHECK(solve(view_of(halves.data(), 8, 32), f, grid).codes.codes == q.codes);
    CHECK(solve(matrix_view<float>{transposed.data(), 8, 32, 1, 8}, f, grid).codes.codes == q.codes);
    const auto tensor = dequantize(q);
    CHECK(tensor(3, 5) == q.value(3, 5));
    CHECK(codes_tensor(q)(3, 5) == q.codes[3 * 32 + 5]);
}

TEST_CASE("solving in the weights' own memory gives the same codes, and refuses without touching them") {
    std::mt19937 random(11);
    const std::size_t rows = 45, n = 90, pitch = 97;
    const auto h = support::random_hessian(random, n, 150);
    const auto f = factorize(hessian_of<float>(h));
    std::vector<float> w(rows * pitch);
    std::normal_distribution<float> normal;
    for (float& v : w) v = normal(random);
    const matrix_view<float> padded{w.data(), rows, n, pitch, 1};
    const auto expected = solve(padded, f, uniform_grid{}).codes;
    auto copy = w;
    const auto q = solve_in_place(matrix_view<float>{copy.data(), rows, n, pitch, 1}, f, uniform_grid{}).codes;
    CHECK(q.codes == expected.codes);
    CHECK(q.parameters == expected.parameters);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = n; c < pitch; ++c) CHECK(copy[r * pitch + c] == w[r * pitch + c]);

    CHECK_THROWS_AS(solve_in_place(matrix_view<float>{w.data(), 90, 45, 1, 97}, f, uniform_grid{}), shape_error);
    CHECK_THROWS_AS(solve_in_place(matrix_view<float>{w.data(), 2, n, 7, 1}, f, uniform_grid{}), shape_error);
    w[44 * pitch + 3] = std::numeric_limits<float>::quiet_NaN();
    copy = w;
    CHECK_THROWS_WITH(solve_in_place(matrix_view<float>{copy.data(), rows, n, pitch, 1}, f, uniform_grid{}),
                      "solve: weight at row 44, column 3 is not finite");
    CHECK(std::memcmp(copy.data(), w.data(), w.size() * sizeof(float)) == 0);
}

TEST_CASE("scaling weights by a power of two scales the scales and keeps the codes") {
    std::mt19937 random(9);
    const auto h = support::random_hessian(random, 48, 100);
    const auto w = support::random_table(random, 10, 48);
    const auto f = factorize(hessian_of<float>(h));
    for (const bool sym : {true, false}) {
        const uniform_grid grid{.group_size = 16, .sym = sym, .scales = scale_type::f32};
        const auto f16_groups = factorize(hessian_of<float>(h), {.order = act_order::group_aware, .group_size = 16});
        table larger = w;
        for (double& v : larger.values) v *= 8;
        const auto a = solve(weights_of(w), f16_groups, grid).codes,
                   b = solve(weights_of(larger), f16_groups, grid).codes;
        CHECK(a.codes == b.codes);
        for (std::size_t k = 0; k < a.parameters.size(); ++k) CHECK(8 * a.parameters[k].scale == b.parameters[k].scale);
    }
}

TEST_CASE("over random problems of 64 rows and columns the loss is at most rounding to nearest's") {
    std::mt19937 random(10);
    for (int i = 0; i < 40; ++i) {
        const std::size_t n = 64 + random() % 64, rows = 64 + random() % 32;
        const auto h = support::random_hessian(random, n, n / 2 + random() % (2 * n));
        const auto w = support::random_table(random, rows, n);
        const uniform_grid grid{.bits = 2 + static_cast<unsigned>(random() % 3),
                                .group_size = random() % 2 == 0 ? -1 : 32,
                                .sym = random() % 2 == 0};
        const auto f = factorize(
            hessian_of<float>(h),
            {.order = random() % 2 == 0 ? act_order::none : act_order::group_aware, .group_size = grid.group_size});
        const auto [q, report] = solve(weights_of(w), f, grid);
        const double nearest = support::quadratic_loss(errors(w, round_to_nearest(weights_of(w), grid)), h);
        INFO("case " << i << ", " << rows << " x " << n << ", bits " << grid.bits << ", group " << grid.group_size);
        CHECK(report.loss <= nearest);
    }
}

TEST_CASE("what cannot be solved is refused before anything happens") {
    const auto f = factorize(hessian<float>(8));
    std::vector<float> w(16, 1.0F);
    CHECK_THROWS_WITH(solve(view_of(w.data(), 2, 7), f, uniform_grid{}),
                      "solve: columns of the weights is 7, expected 8");
    CHECK_THROWS_AS(solve(view_of(w.data(), 0, 8), f, uniform_grid{}), shape_error);
    CHECK_THROWS_AS(solve(view_of(w.data(), 2, 8), f, uniform_grid{.bits = 12}), option_error);
    CHECK_THROWS_AS(solve(view_of(w.data(), 2, 8), f, uniform_grid{}, {.block_size = 0}), option_error);
    CHECK_THROWS_AS(solve(view_of(w.data(), 2, 8), f, uniform_grid{.group_size = 4}), option_error);
    w[11] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH(solve(view_of(w.data(), 2, 8), f, uniform_grid{}),
                      "solve: weight at row 1, column 3 is not finite");
    CHECK_THROWS_AS(round_to_nearest(view_of(w.data(), 2, 8), uniform_grid{}), numeric_error);
}

}  // namespace

}  // namespace solver_test
