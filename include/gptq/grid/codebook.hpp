// Grids of values at any distance from each other: ŵ = scale·values[code]. NF4, FP4 and ternary are ready-made; any
// table of 2 to 256 values will do. Nothing in this library packs them into files.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/range.hpp>
#include <gptq/grid/scale_search.hpp>
#include <gptq/grid/scale_type.hpp>

namespace gptq {

/// What a group on a codebook stores beside its codes.
struct codebook_scale {
    float scale = 1;  ///< may be negative where the table is not symmetric

    friend bool operator==(const codebook_scale&, const codebook_scale&) = default;
};

inline namespace GPTQ_ISA {

/// A grid of N values: ŵ = scale·values[code].
template <std::size_t N>
requires(N >= 2 && N <= 256) struct codebook {
    using parameters = codebook_scale;                                          ///< what a group stores
    static constexpr auto bits = static_cast<unsigned>(std::bit_width(N - 1));  ///< of a code

    std::array<float, N> values{};                ///< by code, in any order
    std::ptrdiff_t group_size = 128;              ///< input columns that share a scale, or per_row
    scale_type scales = scale_type::f16;          ///< what a scale is rounded to before it is used
    scale_search search = scale_search::min_max;  ///< how a scale is chosen
    double norm = reference_norm;                 ///< the search's exponent, above 0, at most 8

    /// @throws option_error  a value is not finite, all are equal or the largest magnitude is not in 2^-16 … 2^16;
    ///                       group_size or norm out of range
    void check() const {
        for (std::size_t code = 0; code < N; ++code)
            if (!std::isfinite(values[code])) detail::fail<option_error>("codebook: value ", code, " is not finite");
        const auto [low, high] = impl::extent_of(std::span<const float>(values), values[0]);
        if (low == high) detail::fail<option_error>("codebook: all values are ", low, ", expected at least two");
        const float largest = std::max(high, -low);
        if (largest < 0x1p-16F || largest > 0x1p16F)
            detail::fail<option_error>("codebook: the largest magnitude is ", largest,
                                       ", expected 2^-16 … 2^16; scales make up for a common factor");
        detail::expect_group_size("codebook", group_size);
        detail::expect_norm("codebook", norm);
    }

    /// The scale that puts the weight of largest magnitude on the value of largest magnitude; positive where values of
    /// both signs have it. A table without negative values serves groups of either sign, but none of both signs.
    /// @param importance  for weighted_mse: one for each weight, not negative; or none
    /// @throws shape_error  another number of importances than of weights
    template <std::floating_point T>
    [[nodiscard]] codebook_scale fit(std::span<const T> group, std::span<const T> importance = {}) const {
        const auto table = impl::extent_of(std::span<const float>(values), 0.0F);
        const T ratio = impl::extent_of(group, T{0}).far_end() / static_cast<T>(table.far_end());
        const T scale = table.high == -table.low ? std::abs(ratio) : ratio;
        return impl::fit_scale(
            *this, group, importance, [&](T p) { return codebook_scale{usable_scale(scales, p * scale)}; },
            [this](T w, const codebook_scale& p) { return miss(w, p); });
    }

    /// The code whose value is nearest to v; of values as near as each other, the first in the table.
    /// @cost N comparisons. With up to 16 values they vectorize over rows: 2 ns a weight with AVX-512, 3 ns with AVX2.
    template <std::floating_point T>
    [[nodiscard, gnu::always_inline]] T round(T v, const codebook_scale& p) const noexcept {
        const T x = v / static_cast<T>(p.scale);
        T least = std::abs(x - static_cast<T>(values[0]));
        std::int32_t nearest = 0;
        for (std::size_t code = 1; code < N; ++code) {
            const T distance = std::abs(x - static_cast<T>(values[code]));
            // The last code to come nearer is the largest. With masks: a choice of constants is a branch to g++.
            nearest = std::max(nearest, -static_cast<std::int32_t>(distance < least) & static_cast<std::int32_t>(code));
            least = distance < least ? distance : least;
        }
        return static_cast<T>(nearest);
    }

    /// scale·values[code].
    template <std::floating_point T>
    [[nodiscard]] T dequantize(T code, const codebook_scale& p) const noexcept {
        return static_cast<T>(p.scale) * static_cast<T>(value_of(static_cast<std::int32_t>(code)));
    }

private:
    [[nodiscard, gnu::always_inline]] float value_of(std::int32_t code) const noexcept {
        if constexpr (N <= 16) {  // a look-up would keep the solver's loop over rows from being vectorized
            std::uint32_t value = 0;
            for (std::size_t k = 0; k < N; ++k)
                value |= -static_cast<std::uint32_t>(code == static_cast<std::int32_t>(k)) &
                         std::bit_cast<std::uint32_t>(values[k]);
            return std::bit_cast<float>(value);
        } else {
            return values[std::min(static_cast<std::size_t>(code), N - 1)];  // codes from N on stand for nothing
        }
    }

    /// |v - ŵ| for the ŵ nearest to v.
    template <std::floating_point T>
    [[nodiscard]] T miss(T v, const codebook_scale& p) const noexcept {
        const T x = v / static_cast<T>(p.scale);
        T least = std::abs(x - static_cast<T>(values[0]));
        for (std::size_t code = 1; code < N; ++code) {
            const T distance = std::abs(x - static_cast<T>(values[code]));
            least = distance < least ? distance : least;
        }
        return least * std::abs(static_cast<T>(p.scale));
    }
};

/// As many codes as the table has values.
template <std::size_t N, class... Options>
codebook(std::array<float, N>, Options...) -> codebook<N>;

/// 4-bit NormalFloat: quantiles of the normal distribution, and 0. Source: QLoRA, arXiv 2305.14314, appendix E.
[[nodiscard]] constexpr codebook<16> nf4(std::ptrdiff_t group_size = 64) noexcept {
    return {.values = {-1.0F, -0.6961928F, -0.52507305F, -0.3949175F, -0.28444138F, -0.18477343F, -0.091050036F, 0.0F,
                       0.0795803F, 0.1609302F, 0.2461123F, 0.33791524F, 0.44070983F, 0.562617F, 0.72295684F, 1.0F},
            .group_size = group_size};
}

/// 4-bit floats with two exponent bits and one fraction bit. Codes are their bit patterns, the sign on top; code 8,
/// which is -0, is never chosen. Source: OCP Microscaling Formats 1.0, section 5.3.3.
[[nodiscard]] constexpr codebook<16> fp4_e2m1(std::ptrdiff_t group_size = 32) noexcept {
    return {.values = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F,  //
                       -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F},
            .group_size = group_size};
}

/// -1, 0 and 1 with codes 0, 1 and 2. With a search for the scale: with the largest weight on 1, most would be 0.
[[nodiscard]] constexpr codebook<3> ternary(std::ptrdiff_t group_size = 128) noexcept {
    return {.values = {-1.0F, 0.0F, 1.0F}, .group_size = group_size, .search = scale_search::mse};
}

}  // namespace GPTQ_ISA
}  // namespace gptq
