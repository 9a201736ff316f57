// The grid concept: all that the solver knows of a quantization format. A new format is a struct with these members.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>

namespace gptq {

/// A quantization grid `g`. Codes are whole numbers 0 … 255.
///   G::parameters        what a group of weights stores beside its codes (scale, zero point, …)
///   g.group_size         input columns per group, or -1 for one group over the whole row
///   g.check()            throws option_error when its own options make no sense
///   g.fit(weights)       parameters for one group of one row, from float and from double
///   g.round(v, p)        the code nearest to v, as a whole number of v's type
///   g.dequantize(c, p)   the value that code c stands for
/// round and dequantize sit in the innermost loop: keep them free of branches, and the compiler vectorizes them.
template <class G>
concept grid = requires(const G& g, std::span<const float> weights, std::span<const double> exact, float v,
                        typename G::parameters p) {
    { g.group_size } -> std::convertible_to<std::ptrdiff_t>;
    g.check();
    { g.fit(weights) } -> std::same_as<typename G::parameters>;
    { g.fit(exact) } -> std::same_as<typename G::parameters>;
    { g.round(v, p) } -> std::same_as<float>;
    { g.dequantize(v, p) } -> std::same_as<float>;
};

/// How many groups a row of `in_features` has.
[[nodiscard]] constexpr std::size_t group_count(std::size_t in_features, std::ptrdiff_t group_size) noexcept {
    if (group_size < 1) return 1;
    const auto size = static_cast<std::size_t>(group_size);
    return (in_features + size - 1) / size;
}

}  // namespace gptq
