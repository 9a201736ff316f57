// GPTQ as the paper tells it (arXiv 2210.17323, equations 2 and 3), in double, with the inverse Hessian written out and
// one column removed from it at a time. Slow and obvious; shares nothing with the library but the grid.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include <gptq/grid/uniform_grid.hpp>

namespace support {

/// A dense matrix of doubles.
struct table {
    std::size_t rows = 0, cols = 0;
    std::vector<double> values;

    table() = default;
    table(std::size_t r, std::size_t c) : rows(r), cols(c), values(r * c) {}
    double& operator()(std::size_t r, std::size_t c) { return values[r * cols + c]; }
    double operator()(std::size_t r, std::size_t c) const { return values[r * cols + c]; }
};

inline table random_table(std::mt19937& random, std::size_t rows, std::size_t cols) {
    std::normal_distribution<double> normal;
    table t(rows, cols);
    for (double& v : t.values) v = normal(random);
    return t;
}

/// (2/T)·XᵀX of random inputs whose features are correlated and of different sizes.
inline table random_hessian(std::mt19937& random, std::size_t n, std::size_t tokens) {
    std::normal_distribution<double> normal;
    table x(tokens, n), h(n, n);
    std::vector<double> size(n);
    for (double& s : size) s = std::exp(normal(random));
    for (std::size_t t = 0; t < tokens; ++t) {
        double previous = 0;
        for (std::size_t i = 0; i < n; ++i) x(t, i) = size[i] * (previous = 0.6 * previous + normal(random));
    }
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) {
            for (std::size_t t = 0; t < tokens; ++t) h(i, j) += x(t, i) * x(t, j);
            h(i, j) *= 2.0 / static_cast<double>(tokens);
        }
    return h;
}

/// Gauss-Jordan.
inline table inverse(table a) {
    table b(a.rows, a.rows);
    for (std::size_t i = 0; i < a.rows; ++i) b(i, i) = 1;
    for (std::size_t i = 0; i < a.rows; ++i) {
        const double pivot = a(i, i);
        for (std::size_t c = 0; c < a.rows; ++c) {
            a(i, c) /= pivot;
            b(i, c) /= pivot;
        }
        for (std::size_t r = 0; r < a.rows; ++r) {
            if (r == i) continue;
            const double factor = a(r, i);
            for (std::size_t c = 0; c < a.rows; ++c) {
                a(r, c) -= factor * a(i, c);
                b(r, c) -= factor * b(i, c);
            }
        }
    }
    return b;
}

/// tr(E·H·Eᵀ).
inline double quadratic_loss(const table& e, const table& h) {
    double loss = 0;
    for (std::size_t r = 0; r < e.rows; ++r)
        for (std::size_t i = 0; i < e.cols; ++i)
            for (std::size_t j = 0; j < e.cols; ++j) loss += e(r, i) * h(i, j) * e(r, j);
    return loss;
}

struct textbook_result {
    std::vector<std::uint8_t> codes;  ///< [rows, cols], original order
    table values;                     ///< Ŵ
    std::vector<double> margins;      ///< [rows] how near, in steps, a value came to the border between two codes
};

/// @param h               damped already
/// @param order           order[k] = column taken k-th; consecutive runs of it form the groups
/// @param group_size      a group is fitted when its first column is reached
template <class Order>
textbook_result textbook_gptq(table w, const table& h, const Order& order, const gptq::uniform_grid& grid,
                              std::size_t group_size) {
    textbook_result result{std::vector<std::uint8_t>(w.values.size()), table(w.rows, w.cols),
                           std::vector<double>(w.rows, 0.5)};
    table inv = inverse(h);
    std::vector<gptq::affine> fitted(w.rows);
    for (std::size_t k = 0; k < order.size(); ++k) {
        const std::size_t column = order[k];
        if (k % group_size == 0)
            for (std::size_t r = 0; r < w.rows; ++r) {
                std::vector<double> group;
                for (std::size_t g = k; g < std::min(k + group_size, order.size()); ++g)
                    group.push_back(w(r, order[g]));
                fitted[r] = grid.fit(std::span<const double>(group));
            }
        for (std::size_t r = 0; r < w.rows; ++r) {
            const double code = grid.round(w(r, column), fitted[r]);
            const double q = grid.dequantize(code, fitted[r]);
            const double steps = w(r, column) / static_cast<double>(fitted[r].scale);
            result.margins[r] = std::min(result.margins[r], std::abs(steps - std::floor(steps) - 0.5));
            const double error = (w(r, column) - q) / inv(column, column);
            for (std::size_t rest = k + 1; rest < order.size(); ++rest)
                w(r, order[rest]) -= error * inv(column, order[rest]);
            result.codes[r * w.cols + column] = static_cast<std::uint8_t>(code);
            result.values(r, column) = q;
        }
        const std::vector<double> row(&inv(column, 0), &inv(column, 0) + inv.cols);
        for (std::size_t i = 0; i < inv.rows; ++i)
            for (std::size_t j = 0; j < inv.cols; ++j)
                if (i != column) inv(i, j) -= row[i] * row[j] / row[column];
    }
    return result;
}

}  // namespace support
