// One tile of rows through the whole solve. Tiles share nothing but the factor, so any number of them may run at once
// and the result is the same.
//
// A tile's rows lie in memory in the factor's (reversed) order. Columns that are done hold their error instead of their
// weight, which is all that later columns need: beside the rows themselves a solve takes one panel of adjustments.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <gptq/calib/blas.hpp>
#include <gptq/calib/factor.hpp>
#include <gptq/calib/token_tile.hpp>
#include <gptq/core/config.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/solve/options.hpp>
#include <gptq/solve/recursion.hpp>
#include <gptq/solve/schedule.hpp>
#include <gptq/solve/strip.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// Seconds between its laps.
class stopwatch {
public:
    /// Adds the time since the last lap, or since the beginning.
    void lap(double& seconds) {
        const auto now = std::chrono::steady_clock::now();
        seconds += std::chrono::duration<double>(now - last_).count();
        last_ = now;
    }

private:
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// A loss with what was added to H's diagonal, and the share of it that is due to that.
struct split_loss {
    double damped = 0;
    double added = 0;
    [[nodiscard]] double undamped() const noexcept { return std::max(0.0, damped - added); }
    split_loss& operator+=(const split_loss& other) noexcept {
        damped += other.damped;
        added += other.added;
        return *this;
    }
};

/// What one tile of rows adds to the report.
struct tile_report {
    std::vector<split_loss> rows;
    std::vector<double> groups;  ///< damped losses
    split_loss output, nearest;  ///< tr(W·H·Wᵀ), and the loss of rounding to nearest, where they were asked for
    std::size_t clipped = 0;
    double prepare_seconds = 0, product_seconds = 0, fit_seconds = 0, recursion_seconds = 0, measure_seconds = 0;
};

/// Solves tiles one after the other in the same memory.
template <class T, grid G>
class tile_solver {
public:
    using parameters = typename G::parameters;

    tile_solver(const factor<T>& f, const G& grid, const schedule& plan, const solve_options& options,
                quantized<G>& out)
        : f_(f),
          grid_(grid),
          plan_(plan),
          options_(options),
          out_(out),
          n_(plan.in_features),
          strip_(grid, std::max(plan.block_size, plan.fit == fit_time::on_panel ? plan.largest_window() : 0)),
          columns_(plan.block_size),
          row_(n_) {}

    /// Solves rows first_row … of the result.
    /// @param from  [rows, in_features] the weights
    /// @param tile  [rows, in_features] memory to work in; may be the memory of `from`
    template <class S>
    tile_report solve(matrix_view<const S> from, matrix_view<T> tile, std::size_t first_row) {
        tile_ = tile;
        first_row_ = first_row;
        report_ = {};
        report_.rows.resize(tile.rows);
        report_.groups.resize(plan_.groups());
        stopwatch watch;
        for (std::size_t r = 0; r < tile.rows; ++r) prepare(from, r);
        watch.lap(report_.prepare_seconds);
        if (options_.relative_error) report_.output = loss_of(tile);
        if (options_.compare_nearest) report_.nearest = loss_of_nearest();
        watch.lap(report_.measure_seconds);
        schedule::for_each_piece({0, n_}, plan_.panel_size, [&](step_range panel) { solve_panel(panel); });
        if (f_.diagonal_only) {
            const std::vector<double> losses = losses_by_hessian(tile);
            for (std::size_t r = 0; r < tile.rows; ++r) report_.rows[r].added = report_.rows[r].damped - losses[r];
        }
        return std::move(report_);
    }

private:
    /// The place in the reversed order of the last step of a range: its columns are [place, place + size).
    [[nodiscard]] std::size_t place(step_range steps) const noexcept { return n_ - steps.end; }
    [[nodiscard]] std::size_t column(std::size_t p) const noexcept { return f_.order[n_ - 1 - p]; }
    [[nodiscard]] std::int32_t group(std::size_t p) const noexcept { return plan_.group_of_step[n_ - 1 - p]; }
    [[nodiscard]] const T* lower(std::size_t row, std::size_t col) const noexcept {
        return f_.lower.data() + row * n_ + col;
    }
    [[nodiscard]] parameters& parameters_of(std::size_t row, std::int32_t group) noexcept {
        return out_.parameters[(first_row_ + row) * plan_.groups() + static_cast<std::size_t>(group)];
    }
    /// Brings a row in the factor's order, and fits its groups if they are fitted on untouched weights.
    template <class S>
    void prepare(matrix_view<const S> from, std::size_t r) {
        for_each_in_row<T>(from, r, [this](std::size_t c, T v) { row_[c] = v; });
        T* const ordered = tile_.row_data(r);
        for (std::size_t p = 0; p < n_; ++p) ordered[p] = row_[column(p)];
        // The reference fits whole rows before it clears dead inputs, and groups after.
        const bool fit = plan_.fit == fit_time::before;
        if (fit && plan_.groups() == 1) fit_row(r);
        if (options_.reference)
            for (std::size_t p = 0; p < n_; ++p)
                if (f_.dead[p]) ordered[p] = 0;
        if (fit && plan_.groups() > 1) fit_row(r);
    }

    /// Fits every group of row r on the weights as they are in the tile.
    void fit_row(std::size_t r) {
        stopwatch watch;
        for (std::size_t k = 0; k < plan_.groups(); ++k)
            parameters_of(r, static_cast<std::int32_t>(k)) = nearest_parameters(r, k);
        watch.lap(report_.fit_seconds);
    }

    [[nodiscard]] parameters nearest_parameters(std::size_t r, std::size_t k) {
        const auto& members = plan_.members[k];
        members_.resize(members.size());
        importance_.resize(members.size());
        for (std::size_t i = 0; i < members.size(); ++i) {
            members_[i] = tile_(r, members[i]);
            importance_[i] = f_.diagonal[members[i]];
        }
        return fit_group(grid_, std::span<const T>(members_), std::span<const T>(importance_));
    }

    void solve_panel(step_range panel) {
        const step_range window = plan_.window(panel);
        adjustments_.resize(std::max(adjustments_.size(), tile_.rows * window.size()));
        adjust(window, {0, panel.begin}, window, T{0});
        if (plan_.fit == fit_time::on_panel) fit_window(window);
        schedule::for_each_piece(panel, plan_.block_size, [&](step_range block) {
            if (block.begin > panel.begin) adjust(block, {panel.begin, block.begin}, window, T{1});
            solve_block(block, window);
        });
    }

    /// Where the adjustments of steps inside a window lie: [rows, steps].
    [[nodiscard]] matrix_view<T> adjustments_of(step_range steps, step_range window) noexcept {
        return view_of(adjustments_.data(), tile_.rows, window.size())
            .block(0, place(steps) - place(window), tile_.rows, steps.size());
    }

    /// A[:, steps] ← beta·A[:, steps] + E[:, done]·L[done, steps], for steps inside a window.
    void adjust(step_range steps, step_range done, step_range window, T beta) {
        stopwatch watch;
        const matrix_view<T> a = adjustments_of(steps, window);
        const auto pitch = static_cast<std::size_t>(a.row_stride), stride = static_cast<std::size_t>(tile_.row_stride);
        if (done.size() > 0)
            blas::gemm(blas::plain, blas::plain, a.rows, a.cols, done.size(), T{1}, tile_.data + place(done), stride,
                       lower(place(done), place(steps)), n_, beta, a.data, pitch);
        else if (beta == 0)
            std::fill_n(a.data, a.rows * pitch, T{0});
        watch.lap(report_.product_seconds);
    }

    /// Calls f(rows of the tile, first row) for one strip after the other.
    template <class F>
    void for_each_strip(F&& f) const {
        for (std::size_t first = 0; first < tile_.rows; first += lanes) f(first, std::min(lanes, tile_.rows - first));
    }

    /// Fits the groups that begin in a window.
    void fit_window(step_range window) {
        stopwatch watch;
        const std::size_t p = place(window);
        const std::size_t first_group = (window.begin + plan_.group_size - 1) / plan_.group_size * plan_.group_size;
        for_each_strip([&](std::size_t first, std::size_t rows) {
            strip_.load(tile_.block(first, p, rows, window.size()),
                        adjustments_of(window, window).rows_from(first, rows), lower(p, p), n_);
            strip_.settle(0, window.size());
            schedule::for_each_piece({first_group, window.end}, plan_.group_size,
                                     [&](step_range group) { fit_group_of_strip(group, p, first); });
        });
        watch.lap(report_.fit_seconds);
    }

    /// Fits a group of settled columns of the strip that begins at row `first`; column 0 of the strip is at `place_0`.
    void fit_group_of_strip(step_range steps, std::size_t place_0, std::size_t first) {
        const std::size_t p = place(steps);
        const std::int32_t k = group(p);
        strip_.fit(p - place_0, p - place_0 + steps.size(), f_.diagonal.data() + p,
                   [&](std::size_t r, const parameters& fitted) { parameters_of(first + r, k) = fitted; });
    }

    /// The recursion over one block of steps, a strip of rows at a time.
    void solve_block(step_range block, step_range window) {
        stopwatch watch;
        const std::size_t width = block.size(), p = place(block);
        copy_triangle(p, width);
        for (std::size_t c = 0; c < width; ++c) columns_[c] = column(p + c);
        const matrix_view<T> adjustments = adjustments_of(block, window);
        for_each_strip([&](std::size_t first, std::size_t rows) {
            strip_.load(tile_.block(first, p, rows, width), adjustments.rows_from(first, rows), triangle_.data(),
                        width);
            if (plan_.fit == fit_time::on_reach)
                schedule::for_each_piece(block, plan_.group_size, [&](step_range steps) {
                    const std::size_t begin = place(steps) - p, end = begin + steps.size();
                    watch.lap(report_.recursion_seconds);
                    strip_.settle(begin, end);
                    fit_group_of_strip(steps, p, first);
                    watch.lap(report_.fit_seconds);
                    assign_parameters(begin, end, p, first);
                    strip_.round(begin, end);
                });
            else {
                assign_parameters(0, width, p, first);
                strip_.round(0, width);
            }
            keep(p, first);
        });
        watch.lap(report_.recursion_seconds);
    }

    /// L's diagonal block, contiguous: its rows in L would compete for the same few cache lines.
    void copy_triangle(std::size_t p, std::size_t width) {
        triangle_.resize(std::max(triangle_.size(), width * width));
        for (std::size_t i = 0; i < width; ++i) std::copy_n(lower(p + i, p), i + 1, triangle_.data() + i * width);
    }

    /// Gives the strip's columns [begin, end) the parameters of their groups.
    void assign_parameters(std::size_t begin, std::size_t end, std::size_t place_0, std::size_t first) {
        while (begin < end) {
            const std::int32_t k = group(place_0 + begin);
            std::size_t next = begin + 1;
            while (next < end && group(place_0 + next) == k) ++next;
            strip_.assign(begin, next, [&](std::size_t r) { return parameters_of(first + r, k); });
            begin = next;
        }
    }

    /// Writes what a strip came to: errors into the tile, codes into the result, losses into the report.
    void keep(std::size_t p, std::size_t first) {
        const std::size_t rows = strip_.rows(), width = strip_.columns();
        strip_.store_errors(tile_.block(first, p, rows, width));
        for (std::size_t r = 0; r < rows; ++r) {
            std::uint8_t* const codes = out_.codes.data() + (first_row_ + first + r) * n_;
            for (std::size_t c = 0; c < width; ++c) codes[columns_[c]] = strip_.code(c, r);
            report_.clipped += static_cast<std::size_t>(strip_.clipped(r));
        }
        double added[lanes] = {};
        for (std::size_t c = 0; c < width; ++c) {
            const T* const e = strip_.errors(c);
            for (std::size_t r = 0; r < lanes; ++r) {
                const auto x = static_cast<double>(e[r]);
                added[r] += x * x * static_cast<double>(f_.added[p + c]);
            }
        }
        for (std::size_t r = 0; r < rows; ++r) report_.rows[first + r].added += added[r];
        for (std::size_t c = 0; c < width;) c = keep_group_losses(p, c, first);
    }

    /// Adds the damped losses of a run of columns, from column c on, that belong to one group.  @returns its end
    std::size_t keep_group_losses(std::size_t p, std::size_t c, std::size_t first) {
        const std::int32_t k = group(p + c);
        double losses[lanes] = {};
        for (; c < strip_.columns() && group(p + c) == k; ++c) {
            const T* const miss = strip_.misses(c);
            for (std::size_t r = 0; r < lanes; ++r)
                losses[r] += static_cast<double>(miss[r]) * static_cast<double>(miss[r]);
        }
        for (std::size_t r = 0; r < strip_.rows(); ++r) {
            report_.rows[first + r].damped += losses[r];
            report_.groups[static_cast<std::size_t>(k)] += losses[r];
        }
        return c;
    }

    /// products[rows, width] ← beta·products + alpha·E·M.
    void multiply(matrix_view<T> e, const T* m, std::size_t m_pitch, std::size_t width, T alpha, T beta) {
        products_.resize(std::max(products_.size(), e.rows * width));
        blas::gemm(blas::plain, blas::plain, e.rows, width, e.cols, alpha, e.data,
                   static_cast<std::size_t>(e.row_stride), m, m_pitch, beta, products_.data(), width);
    }

    /// tr(E·H·Eᵀ) of rows in the factor's order, as ‖E·L‖².
    [[nodiscard]] split_loss loss_of(matrix_view<T> e) {
        split_loss loss;
        schedule::for_each_piece({0, n_}, schedule::widest_panel, [&](step_range steps) {
            const std::size_t p = place(steps), width = steps.size();
            copy_triangle(p, width);
            for (std::size_t i = 0; i < width; ++i)
                std::fill_n(triangle_.data() + i * width + i + 1, width - i - 1, T{0});
            multiply(e.block(0, p, e.rows, width), triangle_.data(), width, width, T{1}, T{0});
            if (steps.begin > 0)
                multiply(e.block(0, p + width, e.rows, steps.begin), lower(p + width, p), n_, width, T{1}, T{1});
            for (std::size_t i = 0; i < e.rows * width; ++i)
                loss.damped += static_cast<double>(products_[i]) * static_cast<double>(products_[i]);
        });
        if (f_.diagonal_only) {
            loss.added = loss.damped;
            for (const double of_row : losses_by_hessian(e)) loss.added -= of_row;
            return loss;
        }
        for (std::size_t r = 0; r < e.rows; ++r)
            for (std::size_t p = 0; p < n_; ++p) {
                const auto x = static_cast<double>(e(r, p));
                loss.added += x * x * static_cast<double>(f_.added[p]);
            }
        return loss;
    }

    /// e·H·eᵀ of every row, from H in the factor's upper triangle: where the diagonal alone was factored, L does not
    /// tell.
    [[nodiscard]] std::vector<double> losses_by_hessian(matrix_view<T> e) {
        std::vector<double> losses(e.rows);
        schedule::for_each_piece({0, n_}, schedule::widest_panel, [&](step_range steps) {
            const std::size_t p = place(steps), width = steps.size();
            triangle_.assign(width * width, T{0});
            for (std::size_t i = 0; i < width; ++i) {
                triangle_[i * width + i] = f_.diagonal[p + i];
                for (std::size_t c = i + 1; c < width; ++c) triangle_[i * width + c] = 2 * *lower(p + i, p + c);
            }
            multiply(e.block(0, p, e.rows, width), triangle_.data(), width, width, T{1}, T{0});
            if (p > 0) multiply(e.block(0, 0, e.rows, p), lower(0, p), n_, width, T{2}, T{1});
            for (std::size_t r = 0; r < e.rows; ++r)
                for (std::size_t c = 0; c < width; ++c)
                    losses[r] += static_cast<double>(products_[r * width + c]) * static_cast<double>(e(r, p + c));
        });
        return losses;
    }

    /// The loss of rounding the tile's weights to the nearest values of the same grid, in the same groups.
    [[nodiscard]] split_loss loss_of_nearest() {
        constexpr std::size_t together = 64;
        std::vector<T> errors(std::min(together, tile_.rows) * n_);
        split_loss loss;
        for (std::size_t first = 0; first < tile_.rows; first += together) {
            const auto e = view_of(errors.data(), std::min(together, tile_.rows - first), n_);
            for (std::size_t r = 0; r < e.rows; ++r)
                for (std::size_t k = 0; k < plan_.groups(); ++k) {
                    const parameters fitted = nearest_parameters(first + r, k);
                    for (std::size_t i = 0; i < members_.size(); ++i)
                        e(r, plan_.members[k][i]) =
                            members_[i] - grid_.dequantize(grid_.round(members_[i], fitted), fitted);
                }
            loss += loss_of(e);
        }
        return loss;
    }

    const factor<T>& f_;
    const G& grid_;
    const schedule& plan_;
    const solve_options& options_;
    quantized<G>& out_;
    std::size_t n_;
    strip<T, G> strip_;
    matrix_view<T> tile_;
    std::size_t first_row_ = 0;
    tile_report report_;
    std::vector<T> adjustments_;           // [rows, window]
    std::vector<T> triangle_;              // [block, block]
    std::vector<std::size_t> columns_;     // [block] the original columns of a block
    std::vector<T> row_;                   // [n] one row in its original order
    std::vector<T> members_, importance_;  // [group]
    std::vector<T> products_;              // [rows, panel], for measures
};

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
