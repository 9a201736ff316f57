// One tile of rows through the whole solve. Tiles share nothing but the factor; each has memory of its own, so any
// number of them may run at once and the result is the same.
//
// A tile holds its weights transposed, in the factor's (reversed) order: element (p, r) at [p·stride + r]. Columns that
// are done hold their error instead of their weight, which is all that later columns need.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <gptq/calib/blas.hpp>
#include <gptq/calib/factor.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/solve/recursion.hpp>
#include <gptq/solve/schedule.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// What one tile of rows adds to the report.
struct tile_losses {
    double damped = 0;         ///< Σ ((v - q)·L_jj)²
    double added = 0;          ///< the share of it that damping put there
    double output_energy = 0;  ///< tr(W·H·Wᵀ), where it was asked for
};

template <class T, grid G>
class row_tile {
public:
    using parameters = typename G::parameters;

    template <class S>
    row_tile(const factor<T>& f, const G& grid, const schedule& plan, const solve_options& options,
             matrix_view<const S> weights)
        : f_(f),
          grid_(grid),
          plan_(plan),
          options_(options),
          n_(plan.in_features),
          rows_(weights.rows),
          stride_((rows_ + lanes - 1) / lanes * lanes),
          tile_(n_ * stride_),
          adjustments_(plan.largest_window() * stride_),
          parameters_(plan.groups() * stride_),
          losses_(stride_) {
        for (std::size_t p = 0; p < n_; ++p)
            for (std::size_t r = 0; r < rows_; ++r)
                tile_[p * stride_ + r] = static_cast<T>(to_float(weights(r, column(p))));
    }

    /// Solves the tile into rows `first_row` … of `out`.
    tile_losses solve(quantized<G>& out, std::size_t first_row) {
        tile_losses result;
        if (options_.relative_error) result.output_energy = output_energy();
        // The reference fits whole rows before it clears dead inputs, and groups after.
        const bool fit_first = plan_.fit == fit_time::before;
        if (fit_first && plan_.groups() == 1) fit_untouched_groups();
        if (options_.reference) clear_dead_inputs();
        if (fit_first && plan_.groups() > 1) fit_untouched_groups();
        schedule::for_each_piece({0, n_}, plan_.panel_size, [&](step_range panel) {
            const step_range window = plan_.window(panel);
            adjust(window, {0, panel.begin}, window, T{0});
            if (plan_.fit == fit_time::on_panel) fit_groups(window, window);
            schedule::for_each_piece(panel, plan_.block_size, [&](step_range block) {
                adjust(block, {panel.begin, block.begin}, window, T{1});
                if (plan_.fit == fit_time::on_reach && block.begin % plan_.group_size == 0)
                    fit_groups({block.begin, std::min(block.begin + plan_.group_size, n_)}, window);
                solve_block_of_steps(block, window, out, first_row);
            });
        });
        for (std::size_t r = 0; r < rows_; ++r) {
            result.damped += static_cast<double>(losses_[r]);
            for (std::size_t k = 0; k < plan_.groups(); ++k)
                out.parameters[(first_row + r) * plan_.groups() + k] = parameters_[k * stride_ + r];
        }
        result.added = added_energy();
        return result;
    }

private:
    /// The place in the reversed order of the last step of a range: its columns are [place, place + size).
    [[nodiscard]] std::size_t place(step_range steps) const noexcept { return n_ - steps.end; }
    [[nodiscard]] std::size_t column(std::size_t p) const noexcept { return f_.order[n_ - 1 - p]; }
    /// Where the adjustments of steps inside a window lie.
    [[nodiscard]] T* adjustment(step_range steps, step_range window) noexcept {
        return adjustments_.data() + (place(steps) - place(window)) * stride_;
    }
    [[nodiscard]] const T* lower(std::size_t row, std::size_t col) const noexcept {
        return f_.lower.data() + row * n_ + col;
    }

    /// A[steps] ← beta·A[steps] + E[done]·L[done, steps], for steps inside a window.
    void adjust(step_range steps, step_range done, step_range window, T beta) noexcept {
        T* const a = adjustment(steps, window);
        if (done.size() == 0) {
            if (beta == 0) std::fill_n(a, steps.size() * stride_, T{0});
            return;
        }
        blas::gemm(blas::transposed, blas::plain, steps.size(), stride_, done.size(), T{1},
                   lower(place(done), place(steps)), n_, tile_.data() + place(done) * stride_, stride_, beta, a,
                   stride_);
    }

    /// Fits the groups that begin in `steps` on the weights that make up best for all errors so far:
    /// v = w + a·L⁻¹ over the steps, a triangular solve with the diagonal block of L.
    void fit_groups(step_range steps, step_range window) {
        scratch_.assign(adjustment(steps, window), adjustment(steps, window) + steps.size() * stride_);
        const std::size_t p = place(steps);
        blas::trsm_left_transposed(steps.size(), stride_, lower(p, p), n_, scratch_.data(), stride_);
        const T* const weights = tile_.data() + p * stride_;
        for (std::size_t i = 0; i < scratch_.size(); ++i) scratch_[i] += weights[i];
        const std::size_t first_group = (steps.begin + plan_.group_size - 1) / plan_.group_size * plan_.group_size;
        schedule::for_each_piece({first_group, steps.end}, plan_.group_size, [&](step_range group) {
            const T* const values = scratch_.data() + (place(group) - p) * stride_;
            fit_group(static_cast<std::size_t>(plan_.group_of_step[group.begin]), group.size(),
                      [&](std::size_t c) { return values + c * stride_; });
        });
    }

    /// Fits every group on the weights as they are in the tile.
    void fit_untouched_groups() {
        std::vector<std::vector<std::size_t>> members(plan_.groups());
        for (std::size_t s = 0; s < n_; ++s)
            members[static_cast<std::size_t>(plan_.group_of_step[s])].push_back(n_ - 1 - s);
        for (std::size_t k = 0; k < members.size(); ++k)
            fit_group(k, members[k].size(), [&](std::size_t c) { return tile_.data() + members[k][c] * stride_; });
    }

    /// Fits group k of every row; column_at(c) are the lanes of the group's c-th column.
    template <class ColumnAt>
    void fit_group(std::size_t k, std::size_t size, ColumnAt column_at) {
        std::vector<T> rows(lanes * size);
        for (std::size_t first = 0; first < stride_; first += lanes) {
            for (std::size_t c = 0; c < size; ++c)
                for (std::size_t r = 0; r < lanes; ++r) rows[r * size + c] = column_at(c)[first + r];
            for (std::size_t r = 0; r < lanes; ++r)
                parameters_[k * stride_ + first + r] = grid_.fit(std::span<const T>(rows.data() + r * size, size));
        }
    }

    /// The recursion over one block of steps, `lanes` rows at a time.
    void solve_block_of_steps(step_range block, step_range window, quantized<G>& out, std::size_t first_row) {
        const std::size_t width = block.size(), p = place(block);
        triangle_.resize(width * width);
        for (std::size_t i = 0; i < width; ++i) std::copy_n(lower(p + i, p), width, triangle_.data() + i * width);
        codes_.resize(width * lanes);
        column_parameters_.resize(width);
        for (std::size_t first = 0; first < stride_; first += lanes) {
            for (std::size_t c = 0; c < width; ++c) {
                const auto k = static_cast<std::size_t>(plan_.group_of_step[n_ - 1 - (p + c)]);
                column_parameters_[c] = parameters_.data() + k * stride_ + first;
            }
            T losses[lanes] = {};
            solve_block(grid_,
                        block_view<T, parameters>{width, stride_, tile_.data() + p * stride_ + first,
                                                  adjustment(block, window) + first, triangle_.data(),
                                                  column_parameters_.data(), codes_.data()},
                        losses);
            for (std::size_t r = 0; r < lanes; ++r) losses_[first + r] += static_cast<double>(losses[r]);
            const std::size_t used = first < rows_ ? std::min(lanes, rows_ - first) : 0;
            for (std::size_t r = 0; r < used; ++r) {
                std::uint8_t* const row = out.codes.data() + (first_row + first + r) * n_;
                for (std::size_t c = 0; c < width; ++c) row[column(p + c)] = codes_[c * lanes + r];
            }
        }
    }

    /// The reference's treatment of dead inputs: their weights become 0.
    void clear_dead_inputs() noexcept {
        for (std::size_t p = 0; p < n_; ++p)
            if (f_.dead[p]) std::fill_n(tile_.data() + p * stride_, stride_, T{0});
    }

    /// Σ x_p²·added_p over the tile: what the additions to H's diagonal contribute to ‖X·L‖².
    [[nodiscard]] double added_energy() const noexcept {
        double energy = 0;
        for (std::size_t p = 0; p < n_; ++p) {
            T sum = 0;
            for (std::size_t r = 0; r < rows_; ++r) sum += tile_[p * stride_ + r] * tile_[p * stride_ + r];
            energy += static_cast<double>(sum) * static_cast<double>(f_.added[p]);
        }
        return energy;
    }

    /// tr(W·H·Wᵀ) = ‖W·L‖² less what was added to the diagonal.
    [[nodiscard]] double output_energy() const {
        std::vector<T> product(tile_);
        blas::trmm_left_transposed(n_, stride_, lower(0, 0), n_, product.data(), stride_);
        double energy = 0;
        for (const T y : product) energy += static_cast<double>(y) * static_cast<double>(y);
        return std::max(0.0, energy - added_energy());
    }

    const factor<T>& f_;
    const G& grid_;
    const schedule& plan_;
    const solve_options& options_;
    std::size_t n_;
    std::size_t rows_;
    std::size_t stride_;                                // rows, padded to whole lanes; padding rows are zero
    std::vector<T> tile_;                               // [n, stride] weights, then errors
    std::vector<T> adjustments_;                        // [window, stride]
    std::vector<parameters> parameters_;                // [groups, stride]
    std::vector<double> losses_;                        // [stride]
    std::vector<T> scratch_;                            // [panel or group, stride]
    std::vector<T> triangle_;                           // [block, block]
    std::vector<std::uint8_t> codes_;                   // [block, lanes]
    std::vector<const parameters*> column_parameters_;  // [block]
};

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
