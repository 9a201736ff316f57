// A strip of `lanes` rows through one block of columns. Weights and adjustments come in from row-major memory, lie
// transposed in cache while the recursion runs, and go back as errors and codes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/transpose.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/solve/recursion.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// Parameters of one group of one row.  @param importance  diag(H) of the group's columns
template <class T, grid G>
[[nodiscard]] typename G::parameters fit_group(const G& g, std::span<const T> weights, std::span<const T> importance) {
    if constexpr (requires { g.fit(weights, importance); })
        return g.fit(weights, importance);
    else
        return g.fit(weights);
}

template <class T, grid G>
class strip {
public:
    using parameters = typename G::parameters;

    /// @param columns  the widest block
    strip(const G& g, std::size_t columns)
        : grid_(g),
          weights_(columns * lanes),
          adjustments_(columns * lanes),
          settled_(columns * lanes),
          scratch_(columns * lanes),
          parameters_(columns * lanes),
          of_column_(columns),
          codes_(columns * lanes) {}

    /// Takes a block in.
    /// @param weights, adjustments  [rows ≤ lanes, columns]; lanes without a row are 0
    /// @param lower                 the block's triangle of L, `pitch` elements from row to row
    void load(matrix_view<const T> weights, matrix_view<const T> adjustments, const T* lower, std::size_t pitch) {
        rows_ = weights.rows;
        columns_ = weights.cols;
        view_ = {weights_.data(), adjustments_.data(), lower, pitch};
        turn_in(weights, weights_);
        turn_in(adjustments, adjustments_);
        slots_ = 0;
        std::fill_n(clipped_, lanes, T{0});
    }

    /// Finds where the weights of columns [begin, end) would go, given the errors so far, if they need not be rounded:
    /// v = w + a·L⁻¹. It is the recursion again, on copies, with "rounding" that changes nothing.
    void settle(std::size_t begin, std::size_t end) noexcept {
        const std::size_t first = begin * lanes, last = end * lanes;
        for (std::size_t i = first; i < last; ++i) {
            settled_[i] = weights_[i];
            scratch_[i] = adjustments_[i];
        }
        recurse(strip_view<T>{settled_.data(), scratch_.data(), view_.lower, view_.pitch}, begin, begin, end,
                [](std::size_t, T pivot, T* w, const T* a) {
                    const T inverse = 1 / pivot;
                    for (std::size_t r = 0; r < lanes; ++r) w[r] = -a[r] * inverse;
                });
        for (std::size_t i = first; i < last; ++i) settled_[i] = weights_[i] - settled_[i];
    }

    /// Fits columns [begin, end), which are settled, as one group: hands row r's parameters to keep(r, parameters).
    /// @param importance  diag(H) of the columns
    template <class Keep>
    void fit(std::size_t begin, std::size_t end, const T* importance, Keep&& keep) {
        const std::size_t width = end - begin;
        for (std::size_t r = 0; r < rows_; ++r) {
            for (std::size_t c = 0; c < width; ++c) scratch_[c] = settled_[(begin + c) * lanes + r];
            keep(r, fit_group<T>(grid_, {scratch_.data(), width}, {importance, width}));
        }
    }

    /// Gives columns [begin, end) their parameters: row r's are parameters_of(r).
    template <class ParametersOf>
    void assign(std::size_t begin, std::size_t end, ParametersOf&& parameters_of) {
        parameters* const slot = parameters_.data() + slots_++ * lanes;
        for (std::size_t r = 0; r < lanes; ++r) slot[r] = parameters_of(std::min(r, rows_ - 1));
        std::fill(of_column_.begin() + static_cast<std::ptrdiff_t>(begin),
                  of_column_.begin() + static_cast<std::ptrdiff_t>(end), slot);
    }

    /// Rounds the columns [begin, end), which have parameters, and pushes their errors to all columns before them.
    void round(std::size_t begin, std::size_t end) noexcept {
        recurse(view_, 0, begin, end, [this](std::size_t j, T pivot, T* w, T* a) {
            round_column(grid_, pivot, w, a, of_column_[j], codes_.data() + j * lanes, clipped_);
        });
    }

    /// After all columns are rounded: the errors e = w - q, back as [rows, columns].
    void store_errors(matrix_view<T> to) const noexcept {
        transpose(matrix_view<const T>{weights_.data(), columns_, rows_, lanes, 1}, to);
    }
    /// e of column c for all lanes.
    [[nodiscard]] const T* errors(std::size_t c) const noexcept { return weights_.data() + c * lanes; }
    /// (v - q)·L_cc of column c for all lanes: the square root of what the column adds to a row's loss.
    [[nodiscard]] const T* misses(std::size_t c) const noexcept { return adjustments_.data() + c * lanes; }
    [[nodiscard]] std::uint8_t code(std::size_t c, std::size_t r) const noexcept { return codes_[c * lanes + r]; }
    [[nodiscard]] T clipped(std::size_t r) const noexcept { return clipped_[r]; }
    [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
    [[nodiscard]] std::size_t columns() const noexcept { return columns_; }

private:
    /// Takes [rows, columns] in as [columns][lanes].
    static void turn_in(matrix_view<const T> from, std::vector<T>& to) noexcept {
        if (from.rows < lanes) std::fill_n(to.begin(), from.cols * lanes, T{0});
        transpose(from, view_of(to.data(), from.cols, lanes));
    }

    const G& grid_;
    std::size_t rows_ = 0, columns_ = 0, slots_ = 0;
    strip_view<T> view_{};
    std::vector<T> weights_, adjustments_;      // [columns][lanes]; after rounding: errors, misses
    std::vector<T> settled_, scratch_;          // [columns][lanes]
    std::vector<parameters> parameters_;        // [slots][lanes]
    std::vector<const parameters*> of_column_;  // [columns] → [lanes]
    std::vector<std::uint8_t> codes_;           // [columns][lanes]
    T clipped_[lanes] = {};
};

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
