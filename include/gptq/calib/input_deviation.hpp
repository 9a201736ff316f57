// How far a layer's inputs in the quantized network are from its inputs in the float network, summed up beside the
// Hessian. solve/asymmetric.hpp lets the layer's weights make up for it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

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

/// D = (2/Σw)·Σ w·(x_float - x)·xᵀ [in_features, in_features] over the tokens seen: x are a layer's inputs in the
/// network quantized so far, those that the layer's Hessian is made of, and x_float its inputs in the float network.
/// Memory: one in_features² array, and two staging tiles.
/// @source GPTAQ, arXiv 2504.02692, ΔX·Xᵀ
template <real T = float>
class input_deviation {
public:
    /// @throws shape_error  in_features is 0
    explicit input_deviation(std::size_t in_features) : sum_(matrix<T>::from_shape({in_features, in_features})) {
        if (in_features == 0) detail::fail<shape_error>("input_deviation: in_features is 0");
        sum_.fill(T{0});
    }

    /// Rows and columns of D.
    [[nodiscard]] std::size_t in_features() const noexcept { return sum_.shape()[0]; }
    /// Tokens that D is made of. This and the next two are the Hessian's, if both are given the same x.
    [[nodiscard]] std::size_t tokens() const noexcept { return counts_.tokens; }
    /// Tokens left out because their x held a NaN or an infinity.
    [[nodiscard]] std::size_t refused_tokens() const noexcept { return counts_.refused; }
    /// Σw.
    [[nodiscard]] double weight() const noexcept { return counts_.weight; }
    /// Of tokens(), those whose x_float held a NaN or an infinity. They count as if they did not deviate.
    [[nodiscard]] std::size_t unmatched_tokens() const noexcept { return unmatched_; }

    /// Adds the inputs of the same tokens in both networks.
    ///
    /// @param x_float  [tokens, in_features] of float, double, f16 or bf16, any strides
    /// @param x        the same, as given to the Hessian: what that leaves out for x, this leaves out
    /// @throws shape_error  other numbers of rows or columns; D is unchanged
    /// @cost   2·in_features²·tokens flops in BLAS gemm: twice the Hessian's
    template <float_matrix F, float_matrix X, executor E = threads>
    void add(const F& x_float, const X& x, E&& run = {}) {
        add_tiles(const_view_of(x_float), const_view_of(x), {}, run);
    }

    /// The same with the tokens' weights, as given to the Hessian.
    /// @throws shape_error    other numbers of rows, columns or weights; D is unchanged
    /// @throws numeric_error  a weight is negative or not finite: names the first; D is unchanged
    template <float_matrix F, float_matrix X, executor E = threads>
    void add(const F& x_float, const X& x, std::span<const float> token_weights, E&& run = {}) {
        const auto view = const_view_of(x);
        impl::expect_weights("input_deviation::add", token_weights, view.rows);
        add_tiles(const_view_of(x_float), view, token_weights, run);
    }

    /// Adds another deviation's tokens, as if they had been added here.
    /// @throws shape_error  it has another number of features
    void merge(const input_deviation& other) {
        detail::expect_equal("input_deviation::merge", "in_features", in_features(), other.in_features());
        sum_ += other.sum_;
        counts_ += other.counts_;
        unmatched_ += other.unmatched_;
    }

    /// D in its own memory. Zero while no token was seen.
    template <executor E = threads>
    [[nodiscard]] matrix<T> take_matrix(E&& run = {}) && {
        const std::size_t n = in_features();
        impl::for_each_row(n, n, run, [&, scale = counts_.scale()](std::size_t r) {
            for (std::size_t c = 0; c < n; ++c) sum_(r, c) = static_cast<T>(scale * static_cast<double>(sum_(r, c)));
        });
        return std::move(sum_);
    }

private:
    template <class F, class X, class E>
    void add_tiles(matrix_view<const F> x_float, matrix_view<const X> x, std::span<const float> weights, E& run) {
        detail::expect_equal("input_deviation::add", "columns of x", in_features(), x.cols);
        detail::expect_equal("input_deviation::add", "columns of x_float", in_features(), x_float.cols);
        detail::expect_equal("input_deviation::add", "rows of x_float", x.rows, x_float.rows);
        const blas::single_threaded guard;
        for (std::size_t first = 0; first < x.rows; first += tile_.most) {
            const std::size_t count = std::min(tile_.most, x.rows - first);
            const auto rows = x.rows_from(first, count);
            const auto tile = tile_.load(rows, weights.empty() ? weights : weights.subspan(first, count), run);
            if (tile.rows > 0) {
                deviate(x_float.rows_from(first, count), rows, run);
                accumulate(tile, run);
            }
            counts_ += tile_.counts();
        }
    }

    /// deviations_ ← (x_float - x)·√w of the tile's tokens.
    template <class F, class X, class E>
    void deviate(matrix_view<const F> x_float, matrix_view<const X> x, E& run) {
        const std::size_t n = in_features(), tokens = tile_.counts().tokens;
        deviations_.resize(std::max(deviations_.size(), tokens * n));
        matched_.resize(tokens);
        impl::for_each_row(tokens, n, run, [&](std::size_t i) {
            T* const row = deviations_.data() + i * n;
            const std::size_t source = tile_.source(i);
            impl::for_each_in_row<T>(x_float, source, [row](std::size_t c, T v) { row[c] = v; });
            impl::for_each_in_row<T>(x, source,
                                     [row, root = tile_.root(i)](std::size_t c, T v) { row[c] = (row[c] - v) * root; });
            matched_[i] = impl::all_finite(row, n);
            if (matched_[i] == 0) std::fill_n(row, n, T{0});
        });
        unmatched_ += static_cast<std::size_t>(std::count(matched_.begin(), matched_.end(), 0));
    }

    template <class E>
    void accumulate(matrix_view<const T> x, E& run) {
        const auto ld = static_cast<std::size_t>(x.row_stride);
        const std::size_t n = in_features();
        const impl::lower_tiles tiles{n};  // and their mirror images
        run.for_each(tiles.per_side() * tiles.per_side(), [&](std::size_t t) {
            const std::size_t i = t / tiles.per_side(), j = t % tiles.per_side();
            const std::size_t row = tiles.begin(i), col = tiles.begin(j);
            blas::gemm(blas::transposed, blas::plain, tiles.extent(i), tiles.extent(j), x.rows, T{1},
                       deviations_.data() + row, n, x.data + col, ld, T{1}, sum_.data() + row * n + col, n);
        });
    }

    matrix<T> sum_;  // Σ w·(x_float - x)·xᵀ
    token_counts counts_;
    std::size_t unmatched_ = 0;
    impl::token_tile<T> tile_;
    std::vector<T> deviations_;
    std::vector<unsigned char> matched_;
};

}  // namespace GPTQ_ISA
}  // namespace gptq
