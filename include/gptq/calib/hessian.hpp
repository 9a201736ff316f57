// The Hessian of a linear layer's reconstruction loss, summed up while calibration inputs stream by.
// It is factored in calib/factor.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include <gptq/calib/blas.hpp>
#include <gptq/calib/tensor.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/view.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// The square tiles that cut [0, n) x [0, n)'s lower triangle. Their size depends on n alone, so the sums in every
/// element are the same whatever executor runs the tiles.
struct lower_tiles {
    std::size_t n;
    std::size_t size = std::clamp<std::size_t>((n / 8 + 63) / 64 * 64, 128, 512);

    [[nodiscard]] std::size_t per_side() const noexcept { return (n + size - 1) / size; }
    [[nodiscard]] std::size_t count() const noexcept { return per_side() * (per_side() + 1) / 2; }
    [[nodiscard]] std::size_t begin(std::size_t block) const noexcept { return block * size; }
    [[nodiscard]] std::size_t extent(std::size_t block) const noexcept { return std::min(size, n - begin(block)); }

    /// Block row and block column (row >= column) of tile t.
    [[nodiscard]] static std::pair<std::size_t, std::size_t> at(std::size_t t) noexcept {
        std::size_t row = 0;
        while (t > row) t -= ++row;
        return {row, t};
    }
};

/// Whether all are finite. By bits: true under any floating-point flags, and it vectorizes.
template <std::floating_point T>
[[nodiscard]] bool all_finite(const T* x, std::size_t count) noexcept {
    using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    constexpr bits infinity = std::bit_cast<bits>(std::numeric_limits<T>::infinity());
    bits found = 0;
    for (std::size_t i = 0; i < count; ++i)
        found |= static_cast<bits>((std::bit_cast<bits>(x[i]) & infinity) == infinity);
    return found == 0;
}

}  // namespace impl

/// H = (2/T)·XᵀX over the T tokens seen, the Hessian of ‖W·Xᵀ - Ŵ·Xᵀ‖²/T in each row of Ŵ.
/// T (the type) is float, or double for ill-conditioned work. Memory: one in_features² array and a staging tile.
/// @source GPTQ, arXiv 2210.17323, section 3. The reference divides by sequences, we by tokens: damping is relative to
///         H, so codes are the same.
template <real T = float>
class hessian {
public:
    /// @throws shape_error  in_features is 0
    explicit hessian(std::size_t in_features) : sum_(matrix<T>::from_shape({in_features, in_features})) {
        if (in_features == 0) detail::fail<shape_error>("hessian: in_features is 0");
        sum_.fill(T{0});
    }

    /// A Hessian computed elsewhere, worth `tokens` tokens when others are merged into it. Only the lower triangle is
    /// read.
    /// @throws shape_error   `h` is not square
    /// @throws option_error  tokens is 0
    template <matrix_like M>
    requires std::convertible_to<element_t<const M>, T>
    [[nodiscard]] static hessian of(const M& h, std::size_t tokens = 2) {
        const auto view = const_view_of(h);
        detail::expect_equal("hessian::of", "columns", view.rows, view.cols);
        if (tokens == 0) detail::fail<option_error>("hessian::of: tokens is 0, expected at least 1");
        hessian result(view.rows);
        result.tokens_ = tokens;
        const T to_sum = static_cast<T>(tokens) / 2;
        for (std::size_t r = 0; r < view.rows; ++r)
            for (std::size_t c = 0; c <= r; ++c) result.sum_(r, c) = to_sum * static_cast<T>(view(r, c));
        return result;
    }

    [[nodiscard]] std::size_t in_features() const noexcept { return sum_.shape()[0]; }
    /// Tokens that H is made of.
    [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }
    /// Tokens left out because their inputs held a NaN or an infinity.
    [[nodiscard]] std::size_t refused_tokens() const noexcept { return refused_; }

    /// Adds calibration inputs: H's sum ← sum + XᵀX.
    ///
    /// @param x   [tokens, in_features] of float, double, f16 or bf16, any strides. Rows of T that lie contiguous are
    ///            used where they are; all others are converted tile by tile. Nothing is kept.
    ///            A token with a NaN or an infinity is left out and counted in refused_tokens().
    /// @throws shape_error  x has another number of columns; H is unchanged
    /// @cost      in_features²·tokens flops (one triangle), in BLAS syrk and gemm
    template <matrix_like X, executor E = threads>
    requires storable_float<element_t<const X>>
    void add(const X& x, E&& run = {}) {
        const auto view = const_view_of(x);
        detail::expect_equal("hessian::add", "columns", in_features(), view.cols);
        const blas::single_threaded guard;
        for (std::size_t first = 0; first < view.rows; first += tile_tokens) {
            const auto tile = finite_tile(view.rows_from(first, std::min(tile_tokens, view.rows - first)));
            accumulate(tile, run);
            tokens_ += tile.rows;
        }
    }

    /// Adds another Hessian's tokens, as if they had been added here.
    /// @throws shape_error  it has another number of features
    void merge(const hessian& other) {
        detail::expect_equal("hessian::merge", "in_features", in_features(), other.in_features());
        sum_ += other.sum_;
        tokens_ += other.tokens_;
        refused_ += other.refused_;
    }

    /// H itself, both triangles. Zero while no token was seen.
    [[nodiscard]] matrix<T> to_matrix() const {
        const std::size_t n = in_features();
        auto h = matrix<T>::from_shape({n, n});
        for (std::size_t r = 0; r < n; ++r)
            for (std::size_t c = 0; c <= r; ++c) h(r, c) = h(c, r) = scale() * sum_(r, c);
        return h;
    }

    /// H in its own memory, lower triangle only; what remains is not to be used. For factorize.
    [[nodiscard]] matrix<T> take_matrix() && noexcept {
        for (std::size_t r = 0; r < in_features(); ++r)
            for (std::size_t c = 0; c <= r; ++c) sum_(r, c) *= scale();
        return std::move(sum_);
    }

private:
    /// 2/T, what turns the sum into H.
    [[nodiscard]] T scale() const noexcept { return tokens_ > 0 ? T{2} / static_cast<T>(tokens_) : T{0}; }

    static constexpr std::size_t tile_tokens = 512;  // enough for syrk to run at its full rate

    /// The tile's finite rows as contiguous rows of T: in place where they already are that, else in the staging tile.
    template <class S>
    [[nodiscard]] matrix_view<const T> finite_tile(matrix_view<const S> x) {
        if constexpr (std::is_same_v<S, T>) {
            bool usable = x.rows_contiguous() && x.row_stride >= static_cast<std::ptrdiff_t>(x.cols);
            for (std::size_t r = 0; usable && r < x.rows; ++r) usable = impl::all_finite(x.row_data(r), x.cols);
            if (usable) return x;
        }
        const std::size_t n = in_features();
        staging_.resize(std::max(staging_.size(), x.rows * n));
        std::size_t kept = 0;
        for (std::size_t r = 0; r < x.rows; ++r) {
            T* const row = staging_.data() + kept * n;
            for (std::size_t c = 0; c < n; ++c) row[c] = static_cast<T>(to_float(x(r, c)));
            if (impl::all_finite(row, n)) ++kept;
        }
        refused_ += x.rows - kept;
        return view_of(static_cast<const T*>(staging_.data()), kept, n);
    }

    template <class E>
    void accumulate(matrix_view<const T> x, E& run) {
        if (x.rows == 0) return;
        const impl::lower_tiles tiles{in_features()};
        const auto ld = static_cast<std::size_t>(x.row_stride);
        run.for_each(tiles.count(), [&](std::size_t t) {
            const auto [i, j] = impl::lower_tiles::at(t);
            const std::size_t row = tiles.begin(i), col = tiles.begin(j);
            T* const target = sum_.data() + row * in_features() + col;
            if (i == j)
                blas::syrk(blas::transposed, tiles.extent(i), x.rows, T{1}, x.data + row, ld, T{1}, target,
                           in_features());
            else
                blas::gemm(blas::transposed, blas::plain, tiles.extent(i), tiles.extent(j), x.rows, T{1}, x.data + row,
                           ld, x.data + col, ld, T{1}, target, in_features());
        });
    }

    matrix<T> sum_;  // lower triangle of XᵀX; the upper one is never read
    std::size_t tokens_ = 0;
    std::size_t refused_ = 0;
    std::vector<T> staging_;
};

}  // namespace GPTQ_ISA
}  // namespace gptq
