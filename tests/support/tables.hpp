// Tables as arguments of the library, and its answers as tables again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gptq/core/view.hpp>
#include <gptq/grid/quantized.hpp>

#include "support/textbook.hpp"

namespace support {

/// Found by argument-dependent lookup: with it a table is matrix-like, so the library takes it as it is.
inline gptq::matrix_view<const double> view_of(const table& t) {
    return gptq::view_of(t.values.data(), t.rows, t.cols);
}

/// E = W - Ŵ, with no rounding of Ŵ.
template <gptq::grid G>
table errors_of(const table& w, const gptq::quantized<G>& q) {
    table e(w.rows, w.cols);
    for (std::size_t o = 0; o < w.rows; ++o)
        for (std::size_t i = 0; i < w.cols; ++i) {
            const auto& p = q.parameters[o * q.groups() + static_cast<std::size_t>(q.g_idx[i])];
            e(o, i) = w(o, i) - q.grid.dequantize(static_cast<double>(q.codes[o * w.cols + i]), p);
        }
    return e;
}

/// e·H·eᵀ of row r of E.
inline double row_loss(const table& e, const table& h, std::size_t r) {
    double loss = 0;
    for (std::size_t i = 0; i < e.cols; ++i) {
        double product = 0;
        for (std::size_t j = 0; j < e.cols; ++j) product += h(i, j) * e(r, j);
        loss += e(r, i) * product;
    }
    return loss;
}

/// How many rows of two [rows, …] arrays of codes differ.
inline std::size_t rows_that_differ(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b,
                                    std::size_t rows) {
    const auto cols = static_cast<std::ptrdiff_t>(a.size() / rows);
    std::size_t count = 0;
    for (auto x = a.begin(), y = b.begin(); x != a.end(); x += cols, y += cols)
        count += static_cast<std::size_t>(!std::equal(x, x + cols, y));
    return count;
}

}  // namespace support
