// The search for a group's scale, one for all grids: shrink the range that a grid spans step by step, and keep the step
// whose rounding errors are least.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/grid/power.hpp>
#include <gptq/grid/range.hpp>

namespace gptq {

/// How a group's scale is chosen.
enum class scale_search {
    min_max,       ///< the group's range: cheap, and right at 4 bits and more
    mse,           ///< of 80 shrunken ranges, the one with the least Σ|w - ŵ|^norm: worth its time at 3 and 2 bits
    weighted_mse,  ///< the same with Σ h·|w - ŵ|^norm, h the diagonal of H; as mse where there is no H
};

/// The norm of the reference implementation's search.
inline constexpr double reference_norm = 2.4;

namespace detail {

inline void expect_norm(std::string_view who, double norm) {
    if (!(norm > 0 && norm <= 8)) fail<option_error>(who, ": norm is ", norm, ", expected above 0, at most 8");
}

}  // namespace detail

inline namespace GPTQ_ISA {
namespace impl {

/// The power of two that brings a magnitude near 1. With weights and importances multiplied by it, sums neither
/// overflow nor vanish, and the search finds the same step whatever the unit.
template <std::floating_point T>
[[nodiscard]] T unit_for(T magnitude) noexcept {
    constexpr int limit = std::numeric_limits<T>::max_exponent - 3;
    return magnitude > 0 ? std::ldexp(T{1}, -std::clamp(std::ilogb(magnitude), -limit, limit)) : T{1};
}

/// Of the ranges shrunk to p = 1, 0.99, … 0.21, the parameters with the least sum of errors; the first of equals.
/// Candidates go 16 at a time, which vectorizes for any size of group. They are given up as soon as none of their sums
/// is below the least so far: errors are not negative, so sums never fall, and the result is the same.
///
/// @param first      the weight to begin with: one that a range too small gets very wrong
/// @param candidate  p → parameters for the range shrunk to that share
/// @param error      (i, parameters) → what weight i adds to the sum
/// @source GPTQ reference, quant.py, find_params: the steps, and that the first of equals is taken
template <std::floating_point T, class Candidate, class Error>
[[nodiscard]] auto least_error(std::size_t count, std::size_t first, Candidate candidate, Error error) noexcept {
    constexpr std::size_t steps = 80, batch = 16, check_every = 16;
    auto best = candidate(T{1});
    T least = std::numeric_limits<T>::infinity();
    for (std::size_t step = 0; step < steps; step += batch) {
        decltype(best) candidates[batch];
        for (std::size_t c = 0; c < batch; ++c) candidates[c] = candidate(1 - static_cast<T>(step + c) / 100);
        T sums[batch] = {};
        for (std::size_t n = 0; n < count; ++n) {
            const std::size_t i = first + n < count ? first + n : first + n - count;
            for (std::size_t c = 0; c < batch; ++c) sums[c] += error(i, candidates[c]);
            if (n % check_every != 0) continue;
            bool hope = false;
            for (const T sum : sums) hope |= sum < least;
            if (!hope) break;
        }
        for (std::size_t c = 0; c < batch; ++c)
            if (sums[c] < least) {
                least = sums[c];
                best = candidates[c];
            }
    }
    return best;
}

/// Calls f with the function x → x^norm.
template <std::floating_point T, class F>
decltype(auto) with_power(double norm, F&& f) {
    return norm == 2 ? f([](T x) { return x * x; }) : f(power<T>(norm));
}

/// The parameters that a grid's `search` and `norm` ask for.
/// @param importance  one for each weight, not negative; or none
/// @param candidate   p → parameters for the range shrunk to that share
/// @param miss        (w, parameters) → |w - ŵ|
/// @throws shape_error  another number of importances than of weights
/// @cost   of a search: at most 80 roundings and powers of each weight. Of normal weights in groups of 128, in single
///         precision, 4 bits take 20 ns a weight with AVX-512 and 32 ns with AVX2, 2 bits twice that. In double
///         precision the C library's pow makes it 20 times as much, unless norm is 2.
template <std::floating_point T, class G, class Candidate, class Miss>
[[nodiscard]] auto fit_scale(const G& grid, std::span<const T> weights, std::span<const T> importance,
                             Candidate candidate, Miss miss) {
    if (!importance.empty()) detail::expect_equal("fit", "number of importances", weights.size(), importance.size());
    if (grid.search == scale_search::min_max) return candidate(T{1});
    const T largest = extent_of(weights, T{0}).far_end();
    const auto first = static_cast<std::size_t>(std::ranges::find(weights, largest) - weights.begin());
    const T unit = unit_for(std::abs(largest));
    return with_power<T>(grid.norm, [&](auto raised) {
        const auto error = [=](std::size_t i, const auto& p) { return raised(miss(weights[i], p) * unit); };
        if (grid.search == scale_search::mse || importance.empty())
            return least_error<T>(weights.size(), first, candidate, error);
        const T h_unit = unit_for(extent_of(importance, T{0}).high);
        return least_error<T>(weights.size(), first, candidate,
                              [=](std::size_t i, const auto& p) { return importance[i] * h_unit * error(i, p); });
    });
}

/// (w, parameters) → |w - ŵ| by a grid's own round and dequantize.
template <class G>
[[nodiscard]] auto rounding_miss(const G& grid) noexcept {
    return [&grid]<class T>(T w, const typename G::parameters& p) {
        return std::abs(w - grid.dequantize(grid.round(w, p), p));
    };
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
