// The result of a solve, and what every storage layout is made from: codes and what they mean.
// This struct is where the quantizing leg (BLAS) and the running leg (standard library alone) meet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/grid.hpp>

namespace gptq {

/// One quantized matrix on grid G: ŵ[o, i] = grid.dequantize(codes[o, i], parameters[o, g_idx[i]]).
template <class G>
struct quantized {
    // No constraint, since clang sees one before those of a function that returns this, and does not say what is wrong.
    static_assert(gptq::grid<G>, "quantized<G>: G is not a gptq::grid");

    G grid;                                          ///< what codes mean
    std::size_t out_features = 0;                    ///< rows
    std::size_t in_features = 0;                     ///< columns
    std::vector<std::uint8_t> codes;                 ///< [out_features, in_features], original column order
    std::vector<typename G::parameters> parameters;  ///< [out_features, groups()]
    std::vector<std::int32_t> g_idx;                 ///< [in_features], the group of each column

    /// Groups of a row; the last may have fewer columns.
    [[nodiscard]] std::size_t groups() const noexcept { return group_count(in_features, grid.group_size); }

    /// ŵ[o, i].
    [[nodiscard]] float value(std::size_t o, std::size_t i) const noexcept {
        const auto& p = parameters[o * groups() + static_cast<std::size_t>(g_idx[i])];
        return grid.dequantize(static_cast<float>(codes[o * in_features + i]), p);
    }
};

inline namespace GPTQ_ISA {

/// Writes Ŵ [out_features, in_features] into memory of the caller's.
/// @throws shape_error  `out` has another shape
template <grid G>
void dequantize_into(const quantized<G>& q, matrix_view<float> out) {
    detail::expect_equal("dequantize_into", "rows", q.out_features, out.rows);
    detail::expect_equal("dequantize_into", "columns", q.in_features, out.cols);
    for (std::size_t o = 0; o < out.rows; ++o)
        for (std::size_t i = 0; i < out.cols; ++i) out(o, i) = q.value(o, i);
}

}  // namespace GPTQ_ISA
}  // namespace gptq
