// Calibration inputs on their way into a sum: a tile of tokens at a time, as contiguous rows that BLAS can read, less
// the tokens that cannot be used. calib/hessian.hpp and calib/input_deviation.hpp sum them up.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include <gptq/calib/blas.hpp>
#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/view.hpp>

namespace gptq {

/// What a sum over tokens is made of.
struct token_counts {
    std::size_t tokens = 0;   ///< in the sum
    std::size_t refused = 0;  ///< left out because their inputs held a NaN or an infinity
    double weight = 0;        ///< of all tokens in the sum; one without a weight of its own weighs 1

    /// Of both sums together.
    token_counts& operator+=(const token_counts& other) noexcept {
        tokens += other.tokens;
        refused += other.refused;
        weight += other.weight;
        return *this;
    }
    /// What turns the sum into a mean, times 2: 0 while there is none. A double, since it may be too large for a float.
    [[nodiscard]] double scale() const noexcept { return weight > 0 ? 2 / weight : 0; }
};

inline namespace GPTQ_ISA {
namespace impl {

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

/// Calls f(c, value) for every element of row r, in T.
template <class T, class S, class F>
void for_each_in_row(matrix_view<const S> x, std::size_t r, F&& f) noexcept {
    if (x.rows_contiguous()) {  // a loop of its own: this one vectorizes
        const S* const row = x.row_data(r);
        for (std::size_t c = 0; c < x.cols; ++c) f(c, static_cast<T>(to_float(row[c])));
    } else {
        for (std::size_t c = 0; c < x.cols; ++c) f(c, static_cast<T>(to_float(x(r, c))));
    }
}

/// Calls f(r) for every row, in tasks of some 64 thousand elements: less is not worth waking a thread.
template <class E, class F>
void for_each_row(std::size_t rows, std::size_t cols, E& run, F&& f) {
    const std::size_t together = std::max<std::size_t>(1, 65536 / cols);
    run.for_each((rows + together - 1) / together, [&](std::size_t task) {
        const std::size_t end = std::min(rows, (task + 1) * together);
        for (std::size_t r = task * together; r < end; ++r) f(r);
    });
}

/// @throws shape_error    not one weight for each token
/// @throws numeric_error  a weight is negative or not finite: names the first
inline void expect_weights(std::string_view who, std::span<const float> weights, std::size_t tokens) {
    detail::expect_equal(who, "number of token weights", tokens, weights.size());
    for (std::size_t t = 0; t < tokens; ++t)
        if (!all_finite(&weights[t], 1) || weights[t] < 0) [[unlikely]]
            detail::fail<numeric_error>(who, ": the weight of token ", t, " is ", weights[t],
                                        ", expected a finite number that is not negative");
}

/// Tokens that go into a sum together, each a row of T times the root of its weight: products of two rows then have
/// the weight.
template <real T>
class token_tile {
public:
    static constexpr std::size_t most = 512;  // enough for syrk to run at its full rate

    /// Takes in the rows of x: not those of weight 0, which are not even looked at, and not those that are not finite
    /// in T, which are refused.
    /// @param x        at most `most` rows
    /// @param weights  of the rows; empty: all 1
    /// @returns [tokens, in_features], rows contiguous: x itself if BLAS can read it where it is, else converted
    template <class S, class E>
    [[nodiscard]] matrix_view<const T> load(matrix_view<const S> x, std::span<const float> weights, E& run) {
        choose(x.rows, weights);
        if constexpr (std::is_same_v<S, T>)
            if (weights.empty() && readable_in_place(x, run)) {
                counts_ = {x.rows, 0, static_cast<double>(x.rows)};
                return x;
            }
        convert(x, run);
        drop_not_finite(x.cols, weights);
        return view_of(static_cast<const T*>(staging_.data()), counts_.tokens, x.cols);
    }

    /// Which row of x became row i, and what it was multiplied by.
    [[nodiscard]] std::size_t source(std::size_t i) const noexcept { return sources_[i]; }
    [[nodiscard]] T root(std::size_t i) const noexcept { return roots_[i]; }
    [[nodiscard]] const token_counts& counts() const noexcept { return counts_; }

private:
    void choose(std::size_t tokens, std::span<const float> weights) {
        sources_.clear();
        roots_.clear();
        for (std::size_t r = 0; r < tokens; ++r) {
            if (!weights.empty() && weights[r] == 0) continue;
            sources_.push_back(r);
            roots_.push_back(weights.empty() ? T{1} : std::sqrt(static_cast<T>(weights[r])));
        }
    }

    template <class E>
    [[nodiscard]] static bool readable_in_place(matrix_view<const T> x, E& run) {
        if (!x.rows_contiguous() || x.row_stride < static_cast<std::ptrdiff_t>(x.cols) ||
            x.row_stride > std::numeric_limits<blas::index>::max())
            return false;
        std::atomic<bool> finite{true};
        for_each_row(x.rows, x.cols, run, [&](std::size_t r) {
            if (!all_finite(x.row_data(r), x.cols)) finite = false;
        });
        return finite;
    }

    template <class S, class E>
    void convert(matrix_view<const S> x, E& run) {
        staging_.resize(std::max(staging_.size(), sources_.size() * x.cols));
        finite_.resize(sources_.size());
        for_each_row(sources_.size(), x.cols, run, [&](std::size_t i) {
            T* const row = staging_.data() + i * x.cols;
            for_each_in_row<T>(x, sources_[i], [row, root = roots_[i]](std::size_t c, T v) { row[c] = v * root; });
            finite_[i] = all_finite(row, x.cols);
        });
    }

    /// Moves the finite rows together, and counts.
    void drop_not_finite(std::size_t in_features, std::span<const float> weights) {
        counts_ = {0, sources_.size(), 0};
        for (std::size_t i = 0; i < sources_.size(); ++i) {
            if (finite_[i] == 0) continue;
            const std::size_t kept = counts_.tokens++;
            if (kept < i) std::copy_n(&staging_[i * in_features], in_features, &staging_[kept * in_features]);
            sources_[kept] = sources_[i];
            roots_[kept] = roots_[i];
            counts_.weight += weights.empty() ? 1.0 : static_cast<double>(weights[sources_[i]]);
        }
        counts_.refused -= counts_.tokens;
    }

    token_counts counts_;
    std::vector<std::size_t> sources_;
    std::vector<T> roots_;
    std::vector<unsigned char> finite_;  // not vector<bool>, whose elements share bytes
    std::vector<T> staging_;
};

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
