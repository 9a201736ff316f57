// The grid concept: all that the solver knows of a quantization format. A new format is a struct with these members.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

#include <gptq/core/error.hpp>

namespace gptq {

/// Group size that stands for one group over the whole row.
inline constexpr std::ptrdiff_t per_row = -1;

/// A grid says what a group stores, of which vectors are made.
template <class G>
concept has_parameters = requires {
    typename G::parameters;
    requires std::semiregular<typename G::parameters>;
};

/// A quantization grid `g`: what the codes of a group of weights mean.
///   G::parameters        what a group stores beside its codes: scale, zero point, …
///   g.bits               1 … 8; codes are whole numbers 0 … 2^bits - 1
///   g.group_size         input columns per group, or per_row
///   g.check()            throws option_error when its own options make no sense
///   g.fit(weights)       parameters for one group of one row of finite weights, rounded to what will be stored
///   g.round(v, p)        the code nearest to v, as a whole number of v's type
///   g.dequantize(c, p)   the value that code c stands for
///
/// fit, round and dequantize work in float and in double. round and dequantize sit in the innermost loop, many rows at
/// a time: take p by reference and keep them free of branches, and the compiler vectorizes them.
///
/// What the solver also uses, of grids that have it:
///   g.fit(weights, importance)   the same for weights that do not count alike; importance: diag(H) of their columns
///   g.clips(v, p)                v lies beyond the values of the group's codes by more than half a step
///
/// examples/04_own_grid.cpp has one in twenty lines.
template <class G>
concept grid = has_parameters<G> &&
    requires(const G& g, std::span<const float> weights, std::span<const double> exact_weights, float v, double exact_v,
             const typename G::parameters& p) {
    { g.bits } -> std::convertible_to<unsigned>;
    { g.group_size } -> std::convertible_to<std::ptrdiff_t>;
    g.check();
    { g.fit(weights) } -> std::same_as<typename G::parameters>;
    { g.fit(exact_weights) } -> std::same_as<typename G::parameters>;
    { g.round(v, p) } -> std::same_as<float>;
    { g.round(exact_v, p) } -> std::same_as<double>;
    { g.dequantize(v, p) } -> std::same_as<float>;
    { g.dequantize(exact_v, p) } -> std::same_as<double>;
};

/// How many groups a row of `in_features` has.
[[nodiscard]] constexpr std::size_t group_count(std::size_t in_features, std::ptrdiff_t group_size) noexcept {
    if (group_size < 1) return 1;
    const auto size = static_cast<std::size_t>(group_size);
    return (in_features + size - 1) / size;
}

namespace detail {

inline void expect_group_size(std::string_view who, std::ptrdiff_t group_size) {
    if (group_size != per_row && group_size < 1)
        fail<option_error>(who, ": group_size is ", group_size, ", expected -1 (whole row) or at least 1");
}

}  // namespace detail
}  // namespace gptq
