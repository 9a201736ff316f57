// The Hessian of a linear layer's reconstruction loss, summed up while calibration inputs stream by.
// It is factored in calib/factor.hpp.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

#include <gptq/calib/blas.hpp>
#include <gptq/calib/lower_tiles.hpp>
#include <gptq/calib/tensor.hpp>
#include <gptq/calib/token_tile.hpp>
#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/view.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// H = (2/Σw)·Σ w·x·xᵀ over the tokens x seen, whose weights w are 1 unless they are given: the Hessian of
/// ‖W·Xᵀ - Ŵ·Xᵀ‖²/T in each row of Ŵ, for T tokens.
/// T (the type) is float, or double for ill-conditioned work. Memory: one in_features² array and a staging tile.
/// @source GPTQ, arXiv 2210.17323, section 3. The reference divides by sequences, we by tokens: damping is relative to
///         H, so codes are the same.
template <real T = float>
class hessian {
public:
    using value_type = T;  ///< that sums are kept in

    /// @throws shape_error  in_features is 0
    explicit hessian(std::size_t in_features) : sum_(matrix<T>::from_shape({in_features, in_features})) {
        if (in_features == 0) detail::fail<shape_error>("hessian: in_features is 0");
        sum_.fill(T{0});
    }

    /// A Hessian computed elsewhere, of float, double, f16 or bf16, worth `tokens` tokens when others are merged into
    /// it. Only the lower triangle is read.
    /// @throws shape_error   `h` is not square
    /// @throws option_error  tokens is 0
    template <float_matrix M>
    [[nodiscard]] static hessian of(const M& h, std::size_t tokens = 2) {
        const auto view = const_view_of(h);
        detail::expect_equal("hessian::of", "columns", view.rows, view.cols);
        if (tokens == 0) detail::fail<option_error>("hessian::of: tokens is 0, expected at least 1");
        const T to_sum = static_cast<T>(tokens) / 2;
        return from_sum(view.rows, {tokens, 0, static_cast<double>(tokens)}, [&](std::size_t r, std::span<T> row) {
            for (std::size_t c = 0; c <= r; ++c) row[c] = to_sum * static_cast<T>(to_float(view(r, c)));
        });
    }

    /// A Hessian from what sum_row() and the counts told of another.
    /// @param fill  fill(r, row) writes the r + 1 values of row r
    template <std::invocable<std::size_t, std::span<T>> Fill>
    [[nodiscard]] static hessian from_sum(std::size_t in_features, const token_counts& counts, Fill&& fill) {
        hessian result(in_features);
        result.counts_ = counts;
        for (std::size_t r = 0; r < in_features; ++r) fill(r, std::span<T>(&result.sum_(r, 0), r + 1));
        return result;
    }

    /// Rows and columns of H.
    [[nodiscard]] std::size_t in_features() const noexcept { return sum_.shape()[0]; }
    /// Tokens that H is made of.
    [[nodiscard]] std::size_t tokens() const noexcept { return counts_.tokens; }
    /// Tokens left out because their inputs held a NaN or an infinity.
    [[nodiscard]] std::size_t refused_tokens() const noexcept { return counts_.refused; }
    /// Σw. As many as tokens() where no weights were given.
    [[nodiscard]] double weight() const noexcept { return counts_.weight; }

    /// Adds calibration inputs: H's sum ← sum + XᵀX.
    ///
    /// @param x   [tokens, in_features] of float, double, f16 or bf16, any strides. Rows of T that lie contiguous are
    ///            used where they are; all others are converted tile by tile. Nothing is kept.
    ///            A token with a NaN or an infinity is left out and counted in refused_tokens().
    /// @throws shape_error  x has another number of columns; H is unchanged
    /// @cost      in_features²·tokens flops (one triangle), in BLAS syrk and gemm
    template <float_matrix X, executor E = threads>
    void add(const X& x, E&& run = {}) {
        add_tiles(const_view_of(x), {}, run);
    }

    /// The same with a weight w for each token: sum ← sum + Σ w·x·xᵀ.
    ///
    /// @param token_weights  [tokens], finite and not negative. A token of weight 0 is left out, whatever its inputs
    ///                       are, and counted nowhere: this is how padding is masked. A token whose inputs times √w are
    ///                       not finite in T is refused.
    /// @throws shape_error    another number of columns or of weights; H is unchanged
    /// @throws numeric_error  a weight is negative or not finite: names the first; H is unchanged
    template <float_matrix X, executor E = threads>
    void add(const X& x, std::span<const float> token_weights, E&& run = {}) {
        const auto view = const_view_of(x);
        impl::expect_weights("hessian::add", token_weights, view.rows);
        add_tiles(view, token_weights, run);
    }

    /// Adds another Hessian's tokens, as if they had been added here.
    /// @throws shape_error  it has another number of features
    void merge(const hessian& other) {
        detail::expect_equal("hessian::merge", "in_features", in_features(), other.in_features());
        sum_ += other.sum_;
        counts_ += other.counts_;
    }

    /// Row r of Σ w·x·xᵀ up to the diagonal, r + 1 values: what gptq::io::save_hessian stores.
    [[nodiscard]] std::span<const T> sum_row(std::size_t r) const noexcept { return {&sum_(r, 0), r + 1}; }

    /// H itself, both triangles. Zero while no token was seen.
    [[nodiscard]] matrix<T> to_matrix() const {
        const std::size_t n = in_features();
        auto h = matrix<T>::from_shape({n, n});
        for (std::size_t r = 0; r < n; ++r)
            for (std::size_t c = 0; c <= r; ++c) h(r, c) = h(c, r) = scaled(sum_(r, c));
        return h;
    }

    /// H times `unit` in its own memory, lower triangle only; what remains is not to be used. For factorize.
    template <executor E>
    [[nodiscard]] matrix<T> take_matrix(E& run, double unit = 1) && {
        const double scale = unit * counts_.scale();
        impl::for_each_row(in_features(), in_features(), run, [&](std::size_t r) {
            for (std::size_t c = 0; c <= r; ++c) sum_(r, c) = static_cast<T>(scale * static_cast<double>(sum_(r, c)));
        });
        return std::move(sum_);
    }

private:
    /// An element of H from one of the sum.
    [[nodiscard]] T scaled(T sum) const noexcept { return static_cast<T>(counts_.scale() * static_cast<double>(sum)); }

    template <class S, class E>
    void add_tiles(matrix_view<const S> x, std::span<const float> weights, E& run) {
        detail::expect_equal("hessian::add", "columns", in_features(), x.cols);
        const blas::single_threaded guard;
        for (std::size_t first = 0; first < x.rows; first += tile_.most) {
            const std::size_t count = std::min(tile_.most, x.rows - first);
            const auto tile =
                tile_.load(x.rows_from(first, count), weights.empty() ? weights : weights.subspan(first, count), run);
            if (tile.rows > 0) accumulate(tile, run);
            counts_ += tile_.counts();
        }
    }

    template <class E>
    void accumulate(matrix_view<const T> x, E& run) {
        const impl::lower_tiles tiles{in_features()};
        const std::size_t below = tiles.count() - tiles.per_side();
        const std::size_t n = in_features(), ld = static_cast<std::size_t>(x.row_stride);
        run.for_each(tiles.count(), [&](std::size_t t) {
            // Those on the diagonal come last: they are half the work, so that threads end at about the same time.
            if (t >= below) {
                const std::size_t i = tiles.begin(t - below);
                blas::syrk(blas::transposed, tiles.extent(t - below), x.rows, T{1}, x.data + i, ld, T{1}, &sum_(i, i),
                           n);
                return;
            }
            const auto [row, col] = impl::lower_tiles::at(t);
            const std::size_t i = tiles.begin(row + 1), j = tiles.begin(col);
            blas::gemm(blas::transposed, blas::plain, tiles.extent(row + 1), tiles.extent(col), x.rows, T{1},
                       x.data + i, ld, x.data + j, ld, T{1}, &sum_(i, j), n);
        });
    }

    matrix<T> sum_;  // lower triangle of Σ w·x·xᵀ; the upper one is never read
    token_counts counts_;
    impl::token_tile<T> tile_;
};

}  // namespace GPTQ_ISA
}  // namespace gptq
