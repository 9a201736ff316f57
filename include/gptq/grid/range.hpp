// Ranges of numbers, in forms that compilers vectorize.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <gptq/core/config.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

template <std::floating_point T>
struct extent {
    T low, high;

    /// The end of larger magnitude, with its sign.
    [[nodiscard]] T far_end() const noexcept { return high > -low ? high : low; }
};

/// The least range that holds `from` and all values.
template <std::floating_point T>
[[nodiscard]] extent<T> extent_of(std::span<const T> values, T from) noexcept {
    // Compilers keep the order of comparisons of floats; partial results side by side let them vectorize. 32 of them,
    // since g++ 12 unrolls a loop over 16 into scalars; with ?:, since it branches on std::min of array elements.
    constexpr std::size_t parts = 32;
    T low[parts], high[parts];
    for (std::size_t part = 0; part < parts; ++part) low[part] = high[part] = from;
    const auto widen = [&](std::size_t part, T below, T above) {
        low[part] = below < low[part] ? below : low[part];
        high[part] = above > high[part] ? above : high[part];
    };
    std::size_t i = 0;
    for (; i + parts <= values.size(); i += parts)
        for (std::size_t part = 0; part < parts; ++part) widen(part, values[i + part], values[i + part]);
    for (; i < values.size(); ++i) widen(0, values[i], values[i]);
    for (std::size_t half = parts / 2; half > 0; half /= 2)
        for (std::size_t part = 0; part < half; ++part) widen(part, low[part + half], high[part + half]);
    return {low[0], high[0]};
}

/// The number of [least, largest] nearest to x, where 0 ≤ least; some number of
/// it for a NaN. In integers, whose minimum is one instruction: floats from 0
/// on lie in the order of their bits, negative ones below. Comparisons of
/// floats are branches to g++, into which it moves what follows, and then the
/// loop does not vectorize.
template <std::floating_point T>
[[nodiscard]] T bounded(T x, T least, T largest) noexcept {
    using integer = std::conditional_t<sizeof(T) == sizeof(std::int32_t), std::int32_t, std::int64_t>;
    const integer above = std::max(std::bit_cast<integer>(x), std::bit_cast<integer>(least));
    return std::bit_cast<T>(std::min(above, std::bit_cast<integer>(largest)));
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
