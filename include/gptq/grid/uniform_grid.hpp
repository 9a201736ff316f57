// The uniform grid of GPTQ checkpoints: ŵ = scale·(code - zero), code and zero in 0 … 2^bits - 1.
// A grid says what a code means; how codes are chosen is the solver's matter, how they are stored the packer's.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <gptq/core/error.hpp>
#include <gptq/grid/scale_type.hpp>

namespace gptq {

/// Group size that stands for one group over the whole row.
inline constexpr std::ptrdiff_t per_row = -1;

/// How a group's scale is chosen.
enum class scale_search {
    min_max,  ///< the group's range: cheap, and right at 4 bits and more
    mse,      ///< of 80 shrunken ranges, the one with the least Σ|w - ŵ|^2.4: worth its time at 3 and 2 bits
};

/// Scale and zero point of one group of one row.
struct affine {
    float scale = 1;
    float zero = 0;  ///< an integer in 0 … maxq

    friend bool operator==(const affine&, const affine&) = default;
};

inline namespace GPTQ_ISA {

struct uniform_grid {
    using parameters = affine;

    unsigned bits = 4;                    ///< 2 … 8
    std::ptrdiff_t group_size = 128;      ///< input columns that share a scale, or per_row
    bool sym = true;                      ///< zero fixed at 2^(bits-1); range symmetric
    scale_type scales = scale_type::f16;  ///< what a scale is rounded to before it is used
    scale_search search = scale_search::min_max;
    /// Reproduce the reference implementation's range for symmetric groups without a negative weight: it clips half of
    /// what the weights need. For comparisons only.
    bool reference = false;

    [[nodiscard]] constexpr unsigned maxq() const noexcept { return (1U << bits) - 1U; }

    /// @throws option_error  bits or group_size out of range
    void check() const {
        if (bits < 2 || bits > 8) detail::fail<option_error>("uniform_grid: bits is ", bits, ", expected 2 … 8");
        if (group_size != per_row && group_size < 1)
            detail::fail<option_error>("uniform_grid: group_size is ", group_size,
                                       ", expected -1 (whole row) or at least 1");
    }

    /// Scale and zero point for one group of finite weights.
    /// Symmetric: scale = 2·max|w| / maxq. Asymmetric: the range, extended to hold 0, is cut in maxq steps.
    /// A group of zeros gets the range [-1, 1]. Source: GPTQ reference, quant.py, find_params.
    template <std::floating_point T>
    [[nodiscard]] affine fit(std::span<const T> group) const noexcept;

    /// The code of v, as a whole number 0 … maxq in a float: nearest, ties to even before the zero point is added.
    template <std::floating_point T>
    [[nodiscard]] T round(T v, affine p) const noexcept {
        const T code = std::rint(v / static_cast<T>(p.scale)) + static_cast<T>(p.zero);
        return std::min(std::max(code, T{0}), static_cast<T>(maxq()));
    }

    template <std::floating_point T>
    [[nodiscard]] static T dequantize(T code, affine p) noexcept {
        return static_cast<T>(p.scale) * (code - static_cast<T>(p.zero));
    }

private:
    template <std::floating_point T>
    [[nodiscard]] affine spanning(T low, T high) const noexcept;
};

namespace impl {

/// Σ|w - ŵ|^2.4 over a group. The exponent, the 80 steps and the 1 % between them are the reference's.
template <std::floating_point T>
[[nodiscard]] T group_error(const uniform_grid& grid, std::span<const T> group, affine p) noexcept {
    T sum = 0;
    for (const T w : group) sum += std::pow(std::abs(w - uniform_grid::dequantize(grid.round(w, p), p)), T(2.4));
    return sum;
}

}  // namespace impl

template <std::floating_point T>
affine uniform_grid::spanning(T low, T high) const noexcept {
    const T levels = static_cast<T>(maxq());
    // A scale below the stored type's smallest number would be stored as 0: take the smallest number instead.
    const float tiny = scales == scale_type::f16 ? 0x1p-24F : std::numeric_limits<float>::min();
    // A scale beyond the stored type's range saturates: weights of that size do not fit the file's scales.
    const float huge = scales == scale_type::f16 ? 65504.0F : 0x1.FEp127F;
    const float scale = std::clamp(rounded_to(scales, (high - low) / levels), tiny, huge);
    const T zero = sym ? (levels + 1) / 2 : std::clamp(std::rint(-low / static_cast<T>(scale)), T{0}, levels);
    return {scale, static_cast<float>(zero)};
}

template <std::floating_point T>
affine uniform_grid::fit(std::span<const T> group) const noexcept {
    T low = 0, high = 0;
    for (const T w : group) {
        low = std::min(low, w);
        high = std::max(high, w);
    }
    if (sym) {
        high = std::max(high, -low);
        if (low < 0 || !reference) low = -high;
    }
    if (low == 0 && high == 0) {
        low = -1;
        high = 1;
    }
    affine best = spanning(low, high);
    if (search == scale_search::min_max) return best;
    T least = impl::group_error(*this, group, best);
    for (int step = 1; step < 80; ++step) {
        const T shrink = 1 - static_cast<T>(step) / 100;
        const affine candidate = spanning(shrink * low, shrink * high);
        const T error = impl::group_error(*this, group, candidate);
        if (error < least) {
            least = error;
            best = candidate;
        }
    }
    return best;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
