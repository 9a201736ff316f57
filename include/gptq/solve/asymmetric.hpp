// Asymmetric calibration: weights that also make up for the errors of the layers before theirs.
//
// Inside a partly quantized network a layer sees inputs X instead of the float network's X_f. The layer that comes
// closest to the float network's outputs minimises ‖W·X_fᵀ - Q·Xᵀ‖², which up to a constant is ‖(Ŵ - Q)·Xᵀ‖² with
//     Ŵ = W + W·D·H⁻¹,      H = (2/T)·XᵀX,  D = (2/T)·(X_f - X)ᵀ·X
// So the same factor and the same solver quantize Ŵ in the place of W. docs/theory.md derives it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <gptq/calib/blas.hpp>
#include <gptq/calib/factor.hpp>
#include <gptq/calib/input_deviation.hpp>
#include <gptq/calib/tensor.hpp>
#include <gptq/calib/token_tile.hpp>
#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/view.hpp>
#include <gptq/solve/solver.hpp>

namespace gptq {

/// The defaults are the best that was measured (docs/quality.md); GPTAQ's are {.strength = 0.25, .causal = true}.
struct asymmetric_options {
    /// α: 0 leaves the weights as they are, 1 is the best for the calibration tokens. Less guards against following
    /// these too closely.
    double strength = 0.5;
    /// Make up for a column's deviation with the columns that are taken after it, as GPTAQ does, not with all of them.
    bool causal = false;

    /// @throws option_error  strength is not in 0 … 1
    void check() const {
        if (!(strength >= 0 && strength <= 1))
            detail::fail<option_error>("asymmetric_options: strength is ", strength, ", expected 0 … 1");
    }
};

inline namespace GPTQ_ISA {
namespace impl {

/// A row's elements in the factor's order, and back.
template <class T>
void gather(std::span<const std::uint32_t> columns, std::span<T> row, std::span<T> spare) noexcept {
    std::ranges::copy(row, spare.begin());
    for (std::size_t p = 0; p < row.size(); ++p) row[p] = spare[columns[p]];
}
template <class T>
void scatter(std::span<const std::uint32_t> columns, std::span<T> row, std::span<T> spare) noexcept {
    std::ranges::copy(row, spare.begin());
    for (std::size_t p = 0; p < row.size(); ++p) row[columns[p]] = spare[p];
}

}  // namespace impl

/// C [in_features, in_features], of which W·C is what weights W must change by: C = α·D·(H + λI)⁻¹, in D's own memory.
/// One serves all weights that share the factor.
///
/// Causal: row q of C is α·D_q,rest·((H + λI)_rest,rest)⁻¹ on the columns `rest` that are taken after column q, and 0
/// on the others. This is GPTAQ's P (arXiv 2504.02692: strictly upper part of ΔX·Xᵀ·Uᵀ, times U, with UᵀU = H⁻¹ in the
/// order of the columns). Two things differ from GPTAQ. It multiplies P with the weights of the moment, which hold
/// corrections and error feedback already, and in its published code across blocks even with the quantized ones; the
/// deviation of the layer's outputs is W·(X_f - X)ᵀ, of the float network's weights, so W here are these. And the
/// reference sets weights of dead inputs to 0, which only changes what D makes of them.
///
/// @throws option_error   the options' own check
/// @throws shape_error    deviation and factor have other numbers of features
/// @throws numeric_error  D is not finite: names the first feature
/// @cost   2·in_features³ flops in trsm; no memory but D's
template <real T, executor E = threads>
[[nodiscard]] matrix<T> asymmetric_correction(input_deviation<T> deviation, const factor<T>& f,
                                              const asymmetric_options& options = {}, E&& run = {}) {
    options.check();
    const std::size_t n = f.in_features();
    detail::expect_equal("asymmetric_correction", "features of the deviation", n, deviation.in_features());
    matrix<T> c = std::move(deviation).take_matrix(run);
    const auto rows = view_of(c);
    for (std::size_t r = 0; r < n; ++r)
        if (!impl::all_finite(rows.row_data(r), n))
            detail::fail<numeric_error>("asymmetric_correction: the deviation is not finite at feature ", r);

    // With the features in the factor's order H + λI = L·Lᵀ, so C = α·(D·L⁻ᵀ)·L⁻¹; a column taken after column p has a
    // lower index than p there, so the causal part of D·L⁻ᵀ is its strictly lower triangle. Rows are independent.
    const std::vector<std::uint32_t> columns(f.order.rbegin(), f.order.rend());
    std::vector<std::size_t> place(n);
    for (std::size_t p = 0; p < n; ++p) place[columns[p]] = p;
    const std::size_t height = impl::rows_per_tile(n);
    const blas::single_threaded guard;
    run.for_each((n + height - 1) / height, [&](std::size_t t) {
        const std::size_t first = t * height;
        const auto tile = rows.rows_from(first, std::min(height, n - first));
        std::vector<T> spare(n);
        for (std::size_t r = 0; r < tile.rows; ++r) impl::gather<T>(columns, tile.row(r), spare);
        blas::trsm_right_transposed(tile.rows, n, f.lower.data(), n, tile.data, n);
        for (std::size_t r = 0; options.causal && r < tile.rows; ++r)
            std::ranges::fill(tile.row(r).subspan(place[first + r]), T{0});
        blas::trsm_right(tile.rows, n, f.lower.data(), n, tile.data, n);
        for (std::size_t r = 0; r < tile.rows; ++r) {
            for (T& element : tile.row(r)) element *= static_cast<T>(options.strength / f.unit);
            impl::scatter<T>(columns, tile.row(r), spare);
        }
    });
    return c;
}

/// Ŵ = W + W·C [out_features, in_features], to be solved for in the place of W. Losses in the report are then those of
/// Ŵ - Q, beside which stands what the correction could not mend.
///
/// @param w           [out_features, in_features] of float, double, f16 or bf16, any strides; only read
/// @param correction  of asymmetric_correction
/// @throws shape_error    the correction is not square, or of another number of features
/// @throws numeric_error  a weight is not finite: names the first
/// @cost   2·out·in² flops in gemm; memory: the result, and 256 rows of weights per thread
template <float_matrix W, real T, executor E = threads>
[[nodiscard]] matrix<T> asymmetric_target(const W& w, const matrix<T>& correction, E&& run = {}) {
    const auto weights = const_view_of(w);
    const auto c = const_view_of(correction);
    detail::expect_equal("asymmetric_target", "columns of the correction", c.rows, c.cols);
    detail::expect_equal("asymmetric_target", "columns of the weights", c.rows, weights.cols);
    impl::expect_finite<T>("asymmetric_target", weights, run);
    auto target = matrix<T>::from_shape({weights.rows, weights.cols});
    const auto rows = view_of(target);
    const std::size_t n = weights.cols, height = impl::rows_per_tile(weights.rows);
    const blas::single_threaded guard;
    run.for_each((weights.rows + height - 1) / height, [&](std::size_t t) {
        const std::size_t first = t * height;
        const auto tile = rows.rows_from(first, std::min(height, weights.rows - first));
        for (std::size_t r = 0; r < tile.rows; ++r)
            impl::for_each_in_row<T>(weights, first + r, [row = tile.row_data(r)](std::size_t i, T v) { row[i] = v; });
        const std::vector<T> original(tile.data, tile.data + tile.rows * n);
        blas::gemm(blas::plain, blas::plain, tile.rows, n, n, T{1}, original.data(), n, c.data, n, T{1}, tile.data, n);
    });
    return target;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
