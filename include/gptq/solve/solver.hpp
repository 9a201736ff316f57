// Blocked GPTQ: weights and a factor in, codes and a report out.
//
// Weights may be of any storable type and are only read. Each tile of rows is solved on its own (solve/row_tile.hpp);
// inside, blocks of columns alternate with matrix products (solve/recursion.hpp).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <gptq/calib/blas.hpp>
#include <gptq/calib/factor.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/solve/options.hpp>
#include <gptq/solve/report.hpp>
#include <gptq/solve/row_tile.hpp>
#include <gptq/solve/schedule.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// `auto [codes, report] = solve(…)`.
template <grid G>
struct solution {
    quantized<G> codes;
    solve_report report;
};

namespace impl {

/// Rows per tile: small enough that a few threads share a small matrix, large enough that products run at full rate.
/// By the matrix alone, never by the executor.
[[nodiscard]] inline std::size_t rows_per_tile(std::size_t out_features) noexcept {
    return std::clamp<std::size_t>((out_features / 8 + lanes - 1) / lanes * lanes, 32, 256);
}

/// Also after conversion to T, the type of the solve.
template <class T, class S>
void expect_finite(std::string_view who, matrix_view<const S> w) {
    for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) {
            const auto value = static_cast<T>(to_float(w(r, c)));
            if (!all_finite(&value, 1)) [[unlikely]]
                detail::fail<numeric_error>(who, ": weight at row ", r, ", column ", c, " is not finite");
        }
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
template <matrix_like W, real T, grid G, executor E = threads>
requires storable_float<element_t<const W>>
[[nodiscard]] solution<G> solve(const W& w, const factor<T>& f, const G& grid, const solve_options& options = {},
                                E&& run = {}) {
    const auto start = std::chrono::steady_clock::now();
    const auto weights = const_view_of(w);
    grid.check();
    options.check();
    detail::expect_equal("solve", "columns of the weights", f.in_features(), weights.cols);
    impl::expect_finite<T>("solve", weights);
    solution<G> result{impl::sized_for(grid, weights.rows, weights.cols), {}};
    const impl::schedule plan(f, grid.group_size, options);
    for (std::size_t s = 0; s < weights.cols; ++s) result.codes.g_idx[f.order[s]] = plan.group_of_step[s];

    const std::size_t height = impl::rows_per_tile(weights.rows);
    std::vector<impl::tile_losses> losses((weights.rows + height - 1) / height);
    const blas::single_threaded guard;
    run.for_each(losses.size(), [&](std::size_t t) {
        const std::size_t first = t * height;
        const auto rows = weights.rows_from(first, std::min(height, weights.rows - first));
        losses[t] = impl::row_tile<T, G>(f, grid, plan, options, rows).solve(result.codes, first);
    });

    double added = 0, energy = 0;
    solve_report& report = result.report;
    for (const impl::tile_losses& tile : losses) {
        report.damped_loss += tile.damped;
        added += tile.added;
        energy += tile.output_energy;
    }
    report.out_features = weights.rows;
    report.in_features = weights.cols;
    report.loss = std::max(0.0, report.damped_loss - added);
    if (options.relative_error) report.relative_error = energy > 0 ? report.loss / energy : 0.0;
    report.damping = f.damping;
    report.damping_retries = f.retries;
    report.diagonal_only = f.diagonal_only;
    report.dead_inputs = f.dead_inputs;
    report.refused_tokens = f.refused_tokens;
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
}

/// Rounds every weight to the nearest value of its group's grid: the baseline that GPTQ is compared with.
/// @throws as solve
template <matrix_like W, grid G>
requires storable_float<element_t<const W>>
[[nodiscard]] quantized<G> round_to_nearest(const W& w, const G& grid) {
    const auto weights = const_view_of(w);
    grid.check();
    impl::expect_finite<float>("round_to_nearest", weights);
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
