// The uniform grid of GPTQ checkpoints: ŵ = scale·(code - zero), code and zero in 0 … 2^bits - 1.
// A grid says what a code means; how codes are chosen is the solver's matter, how they are stored the packer's.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/range.hpp>
#include <gptq/grid/scale_search.hpp>
#include <gptq/grid/scale_type.hpp>

namespace gptq {

/// Scale and zero point of one group of one row.
struct affine {
    float scale = 1;  ///< from a code's value to the next one's
    float zero = 0;   ///< the code that stands for 0: an integer in 0 … maxq

    friend bool operator==(const affine&, const affine&) = default;
};

inline namespace GPTQ_ISA {

/// The grid of GPTQ checkpoints: ŵ = scale·(code - zero).
struct uniform_grid {
    using parameters = affine;  ///< what a group of a row stores

    unsigned bits = 4;                            ///< 2 … 8
    std::ptrdiff_t group_size = 128;              ///< input columns that share a scale, or per_row
    bool sym = true;                              ///< zero fixed at 2^(bits-1); range symmetric
    scale_type scales = scale_type::f16;          ///< what a scale is rounded to before it is used
    scale_search search = scale_search::min_max;  ///< how a scale is chosen
    double norm = reference_norm;                 ///< the search's exponent, above 0, at most 8
    /// Reproduce the reference implementation's range for symmetric groups without a negative weight: it clips half of
    /// what the weights need. For comparisons only.
    bool reference = false;

    /// The largest code.
    [[nodiscard]] constexpr unsigned maxq() const noexcept { return (1U << bits) - 1U; }

    /// @throws option_error  bits, group_size or norm out of range
    void check() const {
        if (bits < 2 || bits > 8) detail::fail<option_error>("uniform_grid: bits is ", bits, ", expected 2 … 8");
        detail::expect_group_size("uniform_grid", group_size);
        detail::expect_norm("uniform_grid", norm);
    }

    /// Scale and zero point for one group of finite weights.
    /// Symmetric: scale = 2·max|w| / maxq. Asymmetric: the range, extended to hold 0, is cut in maxq steps.
    /// A group of zeros gets the range [-1, 1]. Source: GPTQ reference, quant.py, find_params.
    /// @param importance  for weighted_mse: one for each weight, not negative; or none
    /// @throws shape_error  another number of importances than of weights
    template <std::floating_point T>
    [[nodiscard]] affine fit(std::span<const T> group, std::span<const T> importance = {}) const {
        const impl::extent<T> range = range_of(group);
        const auto shrunken = [&](T p) { return spanning(p * range.low, p * range.high); };
        return impl::fit_scale(*this, group, importance, shrunken, impl::rounding_miss(*this));
    }

    /// The code of v, as a whole number 0 … maxq in a float: nearest, ties to even before the zero point is added.
    template <std::floating_point T>
    [[nodiscard]] T round(T v, const affine& p) const noexcept {
        return impl::bounded(unbounded_code(v, p), T{0}, static_cast<T>(maxq()));
    }

    /// scale·(code - zero).
    template <std::floating_point T>
    [[nodiscard]] static T dequantize(T code, const affine& p) noexcept {
        return static_cast<T>(p.scale) * (code - static_cast<T>(p.zero));
    }

    /// Whether v lies outside of the range by more than half a step.
    template <std::floating_point T>
    [[nodiscard]] bool clips(T v, const affine& p) const noexcept {
        return round(v, p) != unbounded_code(v, p);
    }

    /// Whether a group needed a larger scale than can be stored: its largest weights are cut off.
    [[nodiscard]] bool saturates(const affine& p) const noexcept { return p.scale >= largest_scale(scales); }

private:
    template <std::floating_point T>
    [[nodiscard]] impl::extent<T> range_of(std::span<const T> group) const noexcept {
        auto [low, high] = impl::extent_of(group, T{0});
        if (sym) {
            high = std::max(high, -low);
            if (low < 0 || !reference) low = -high;
        }
        if (low == 0 && high == 0) return {-1, 1};
        return {low, high};
    }

    template <std::floating_point T>
    [[nodiscard]] affine spanning(T low, T high) const noexcept {
        const T levels = static_cast<T>(maxq());
        const float scale = usable_scale(scales, (high - low) / levels);
        const T zero = sym ? (levels + 1) / 2 : std::min(std::rint(-low / static_cast<T>(scale)), levels);
        return {scale, static_cast<float>(zero)};
    }

    template <std::floating_point T>
    [[nodiscard]] static T unbounded_code(T v, const affine& p) noexcept {
        return std::rint(v / static_cast<T>(p.scale)) + static_cast<T>(p.zero);
    }
};

}  // namespace GPTQ_ISA
}  // namespace gptq
