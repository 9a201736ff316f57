// Blocked GPTQ: weights and a factor in, codes and a report out.
//
// Weights may be of any storable type and are only read. Each tile of rows is solved on its own (solve/row_tile.hpp);
// inside, blocks of columns alternate with matrix products (solve/recursion.hpp).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <gptq/calib/blas.hpp>
#include <gptq/calib/factor.hpp>
#include <gptq/calib/token_tile.hpp>
#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/solve/options.hpp>
#include <gptq/solve/recursion.hpp>
#include <gptq/solve/report.hpp>
#include <gptq/solve/row_tile.hpp>
#include <gptq/solve/schedule.hpp>

namespace gptq {

/// A matrix that a solve in T can use as its own memory: of T itself, and not const.
template <class W, class T>
concept matrix_to_overwrite = matrix_like<W> && std::is_same_v<decltype(view_of(std::declval<W&>())), matrix_view<T>>;

inline namespace GPTQ_ISA {

/// `auto [codes, report] = solve(…)`.
template <class G>
struct solution {
    quantized<G> codes;   ///< with the scales that they were rounded on
    solve_report report;  ///< how good they are
};

namespace impl {

/// Rows per tile: small enough that a few threads share a small matrix, large enough that products run at full rate.
/// By the matrix alone, never by the executor.
[[nodiscard]] inline std::size_t rows_per_tile(std::size_t out_features) noexcept {
    return std::clamp<std::size_t>((out_features / 8 + lanes - 1) / lanes * lanes, lanes, 512);
}

/// What a thread needs to solve tiles, handed from one tile to the next: as many as tiles ever ran at once.
template <class Workspace>
class workspaces {
public:
    /// Takes a workspace, or makes one.
    template <class Make>
    [[nodiscard]] std::unique_ptr<Workspace> take(Make&& make) {
        {
            const std::lock_guard lock(mutex_);
            if (!free_.empty()) {
                auto workspace = std::move(free_.back());
                free_.pop_back();
                return workspace;
            }
        }
        return make();
    }
    void give_back(std::unique_ptr<Workspace> workspace) {
        const std::lock_guard lock(mutex_);
        free_.push_back(std::move(workspace));
    }

private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Workspace>> free_;
};

/// Looks at all weights before anything is written, also after conversion to T, the type of the solve.
template <class T, class S, executor E>
void expect_finite(std::string_view who, matrix_view<const S> w, E& run) {
    constexpr std::size_t together = 256;
    std::vector<std::optional<std::pair<std::size_t, std::size_t>>> found((w.rows + together - 1) / together);
    run.for_each(found.size(), [&](std::size_t t) {
        const std::size_t end = std::min(w.rows, (t + 1) * together);
        for (std::size_t r = t * together; r < end && !found[t]; ++r) {
            bool finite = true;
            for_each_in_row<T>(w, r, [&](std::size_t, T v) { finite = finite & all_finite(&v, 1); });
            if (finite) [[likely]]
                continue;
            for_each_in_row<T>(w, r, [&](std::size_t c, T v) {
                if (!found[t] && !all_finite(&v, 1)) found[t] = {r, c};
            });
        }
    });
    for (const auto& place : found)
        if (place)
            detail::fail<numeric_error>(who, ": weight at row ", place->first, ", column ", place->second,
                                        " is not finite");
}

/// An empty result of the right sizes.
template <grid G>
[[nodiscard]] quantized<G> sized_for(const G& grid, std::size_t rows, std::size_t cols) {
    if (rows == 0 || cols == 0)
        detail::fail<shape_error>("quantize: the weights are ", rows, " x ", cols, ", which is empty");
    quantized<G> q{grid, rows, cols, {}, {}, {}};
    q.codes.resize(rows * cols);
    q.parameters.resize(rows * q.groups());
    q.g_idx.resize(cols);
    return q;
}

}  // namespace impl

namespace impl {

/// A thread's solver, and memory for a tile of weights where they are not solved in their own.
template <class T, grid G>
struct solve_workspace {
    tile_solver<T, G> solver;
    std::vector<T> tile;
};

/// Adds the tiles' figures up, in their order.
/// @param unit  of their losses
inline void add_up(solve_report& report, const std::vector<tile_report>& tiles, const solve_options& options,
                   double unit) {
    split_loss loss, nearest, output;
    std::vector<double> groups(tiles.front().groups.size());
    for (const tile_report& tile : tiles) {
        for (const split_loss& row : tile.rows) {
            loss += row;
            if (options.losses_by_part) report.row_losses.push_back(unit * row.undamped());
        }
        for (std::size_t k = 0; k < groups.size(); ++k) groups[k] += unit * tile.groups[k];
        nearest += tile.nearest;
        output += tile.output;
        if (report.clipped) *report.clipped += tile.clipped;
        report.prepare_seconds += tile.prepare_seconds;
        report.product_seconds += tile.product_seconds;
        report.fit_seconds += tile.fit_seconds;
        report.recursion_seconds += tile.recursion_seconds;
        report.measure_seconds += tile.measure_seconds;
    }
    report.loss = unit * loss.undamped();
    report.damped_loss = unit * loss.damped;
    if (options.losses_by_part) report.group_losses = std::move(groups);
    if (options.compare_nearest) report.nearest_loss = unit * nearest.undamped();
    if (options.relative_error)
        report.relative_error = output.undamped() > 0 ? loss.undamped() / output.undamped() : 0.0;
}

template <class T>
void tell_of_factor(solve_report& report, const factor<T>& f) {
    report.in_features = f.in_features();
    report.damping = f.damping;
    report.damping_retries = f.retries;
    report.diagonal_only = f.diagonal_only;
    report.dead_inputs = f.dead_inputs;
    report.tokens = f.tokens;
    report.refused_tokens = f.refused_tokens;
    report.factor_seconds = f.seconds;
}

/// @param own  the weights' own memory, to be overwritten; empty where they are only read
template <class T, class S, grid G, executor E>
[[nodiscard]] solution<G> solve_rows(matrix_view<const S> weights, matrix_view<T> own, const factor<T>& f,
                                     const G& grid, const solve_options& options, E& run) {
    stopwatch watch;
    grid.check();
    options.check();
    detail::expect_equal("solve", "columns of the weights", f.in_features(), weights.cols);
    expect_finite<T>("solve", weights, run);
    solution<G> result{sized_for(grid, weights.rows, weights.cols), {}};
    const schedule plan(f, grid.group_size, options);
    for (std::size_t s = 0; s < weights.cols; ++s) result.codes.g_idx[f.order[s]] = plan.group_of_step[s];

    using workspace = solve_workspace<T, G>;
    const std::size_t height = rows_per_tile(weights.rows);
    std::vector<tile_report> tiles((weights.rows + height - 1) / height);
    workspaces<workspace> spaces;
    const blas::single_threaded guard;
    run.for_each(tiles.size(), [&](std::size_t t) {
        auto space = spaces.take([&] {
            return std::make_unique<workspace>(
                workspace{{f, grid, plan, options, result.codes},
                          std::vector<T>(own.data == nullptr ? height * weights.cols : 0)});
        });
        const std::size_t first = t * height, rows = std::min(height, weights.rows - first);
        const matrix_view<T> tile =
            own.data == nullptr ? view_of(space->tile.data(), rows, weights.cols) : own.rows_from(first, rows);
        tiles[t] = space->solver.solve(weights.rows_from(first, rows), tile, first);
        spaces.give_back(std::move(space));
    });

    if constexpr (requires(T v, typename G::parameters p) { grid.clips(v, p); }) result.report.clipped = 0;
    result.report.out_features = weights.rows;
    tell_of_factor(result.report, f);
    add_up(result.report, tiles, options, f.unit);
    watch.lap(result.report.seconds);
    return result;
}

}  // namespace impl

/// Quantizes one layer's weights, each column's rounding error spread over the columns not yet rounded.
///
/// @param w     [out_features, in_features] of float, double, f16 or bf16, any strides; only read
/// @param f     the factor of the layer's inputs; one serves all weights that share them (q, k, v; gate, up)
/// @param grid  what codes mean; parameters are rounded to their stored type before they are used
/// @throws shape_error    columns of w and features of the factor differ, or w is empty
/// @throws option_error   the grid's or the options' own checks; a group-aware factor for another group size
/// @throws numeric_error  a weight is not finite: names the first
/// @cost   out·in² flops in gemm; memory: the result, and 256 rows of weights per thread
/// @source GPTQ, arXiv 2210.17323, algorithm 1, in the form of arXiv 2507.18553; see docs/theory.md
template <float_matrix W, real T, grid G, executor E = threads>
[[nodiscard]] solution<G> solve(const W& w, const factor<T>& f, const G& grid, const solve_options& options = {},
                                E&& run = {}) {
    return impl::solve_rows(const_view_of(w), matrix_view<T>{}, f, grid, options, run);
}

/// The same in the weights' own memory: beside them, the factor and the result it takes about 1 MiB per thread.
/// @param w  [out_features, in_features] of the factor's type, rows contiguous. What remains in it is not to be used;
///           after an exception it is as it was
/// @throws as solve; shape_error also when rows are not contiguous or overlap
template <class W, real T, grid G, executor E = threads>
requires matrix_to_overwrite<W, T>
[[nodiscard]] solution<G> solve_in_place(W&& w, const factor<T>& f, const G& grid, const solve_options& options = {},
                                         E&& run = {}) {
    const matrix_view<T> own = view_of(w);
    if (!own.rows_contiguous() || own.row_stride < static_cast<std::ptrdiff_t>(own.cols))
        detail::fail<shape_error>(
            "solve_in_place: the rows of the weights are not contiguous; use solve, which copies");
    return impl::solve_rows(matrix_view<const T>(own), own, f, grid, options, run);
}

/// Rounds every weight to the nearest value of its group's grid: the baseline that GPTQ is compared with.
/// @throws as solve
template <float_matrix W, grid G>
[[nodiscard]] quantized<G> round_to_nearest(const W& w, const G& grid) {
    const auto weights = const_view_of(w);
    grid.check();
    serial run;
    impl::expect_finite<float>("round_to_nearest", weights, run);
    auto q = impl::sized_for(grid, weights.rows, weights.cols);
    const std::size_t size = grid.group_size > 0 ? static_cast<std::size_t>(grid.group_size) : weights.cols;
    for (std::size_t i = 0; i < weights.cols; ++i) q.g_idx[i] = static_cast<std::int32_t>(i / size);
    std::vector<float> row(weights.cols);
    for (std::size_t o = 0; o < weights.rows; ++o) {
        for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(to_float(weights(o, i)));
        for (std::size_t k = 0; k < q.groups(); ++k) {
            const auto group = std::span<const float>(row).subspan(k * size, std::min(size, row.size() - k * size));
            const auto p = q.parameters[o * q.groups() + k] = grid.fit(group);
            for (std::size_t i = 0; i < group.size(); ++i)
                q.codes[o * row.size() + k * size + i] = static_cast<std::uint8_t>(grid.round(group[i], p));
        }
    }
    return q;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
