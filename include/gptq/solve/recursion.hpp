// The recursion inside a block: round a column, push its error into the columns still to come, go on.
// Rows are independent, so `lanes` rows go side by side through every operation, in the layout [column][row].
// This is the solver's hot loop; it is written so that compilers vectorize over the lanes and keep sums in registers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <gptq/core/config.hpp>
#include <gptq/grid/grid.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// Rows that are solved side by side: one AVX-512 register of floats, two of AVX2.
inline constexpr std::size_t lanes = 16;

/// Columns between two register-blocked updates. 8 keeps the triangular part at 4 multiply-adds a column.
inline constexpr std::size_t stride_columns = 8;

/// A block of `columns` columns for `lanes` rows. Element (column c, row r) of the arrays is at [c·row_stride + r];
/// column `columns - 1` is taken first, as everywhere in the reversed order.
template <class T, class Parameters>
struct block_view {
    std::size_t columns;
    std::size_t row_stride;
    T* weights;      ///< in: the original weights; out: the errors e = w - q
    T* adjustments;  ///< in: a = Σ e_i·L_ij over the columns done before the block; out: of no meaning
    const T* lower;  ///< [columns, columns] the block's triangle of L, contiguous
    const Parameters* const* parameters;  ///< [columns] → [lanes], the parameters of each row for that column
    std::uint8_t* codes;                  ///< out: [columns, lanes]
};

/// Rounds column j for all lanes:  v = w + a/L_jj,  q = round(v),  e = w - q.  Adds ((v - q)·L_jj)² to the losses.
template <class T, grid G>
void round_column(const G& grid, const block_view<T, typename G::parameters>& b, std::size_t j, const T* a,
                  T* losses) noexcept {
    const T pivot = b.lower[j * b.columns + j];
    const T inverse = 1 / pivot;
    T* const w = b.weights + j * b.row_stride;
    const auto* const parameters = b.parameters[j];
    T codes[lanes];
    for (std::size_t r = 0; r < lanes; ++r) {
        const T v = w[r] + a[r] * inverse;
        codes[r] = grid.round(v, parameters[r]);
        const T q = grid.dequantize(codes[r], parameters[r]);
        const T miss = (v - q) * pivot;
        losses[r] += miss * miss;
        w[r] -= q;
    }
    for (std::size_t r = 0; r < lanes; ++r) b.codes[j * lanes + r] = static_cast<std::uint8_t>(codes[r]);
}

/// The lanes of one column. The vector type of g++ and clang keeps sums in registers, which their vectorizers of plain
/// loops do not.
template <class T>
struct lane_vector {
    using type [[gnu::vector_size(lanes * sizeof(T))]] = T;
};

/// a[k … k+Count) += Σ_{i in [first, first + stride_columns)} e_i · L[i, k … k+Count).
template <std::size_t Count, class T, class P>
void push_errors(const block_view<T, P>& b, std::size_t first, std::size_t k) noexcept {
    using vector = typename lane_vector<T>::type;
    vector sums[Count];
    for (std::size_t c = 0; c < Count; ++c)
        std::memcpy(&sums[c], b.adjustments + (k + c) * b.row_stride, sizeof(vector));
    for (std::size_t i = first; i < first + stride_columns; ++i) {
        vector e;
        std::memcpy(&e, b.weights + i * b.row_stride, sizeof e);
        const T* const l = b.lower + i * b.columns + k;
        for (std::size_t c = 0; c < Count; ++c) sums[c] += e * l[c];
    }
    for (std::size_t c = 0; c < Count; ++c)
        std::memcpy(b.adjustments + (k + c) * b.row_stride, &sums[c], sizeof(vector));
}

/// Solves the block's columns [begin, end) among themselves, from the last to the first.
template <class T, grid G>
void solve_columns(const G& grid, const block_view<T, typename G::parameters>& b, std::size_t begin, std::size_t end,
                   T* losses) noexcept {
    for (std::size_t j = end; j-- > begin;) {
        T a[lanes];
        for (std::size_t r = 0; r < lanes; ++r) a[r] = b.adjustments[j * b.row_stride + r];
        for (std::size_t i = j + 1; i < end; ++i) {
            const T l = b.lower[i * b.columns + j];
            for (std::size_t r = 0; r < lanes; ++r) a[r] += b.weights[i * b.row_stride + r] * l;
        }
        round_column(grid, b, j, a, losses);
    }
}

/// Solves a block.  @param losses  [lanes], the damped loss is added
template <class T, grid G>
void solve_block(const G& grid, const block_view<T, typename G::parameters>& b, T* losses) noexcept {
    std::size_t end = b.columns;
    for (; end >= stride_columns; end -= stride_columns) {
        const std::size_t first = end - stride_columns;
        solve_columns(grid, b, first, end, losses);
        std::size_t k = 0;
        for (; k + 4 <= first; k += 4) push_errors<4>(b, first, k);
        for (; k < first; ++k) push_errors<1>(b, first, k);
    }
    solve_columns(grid, b, 0, end, losses);
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
