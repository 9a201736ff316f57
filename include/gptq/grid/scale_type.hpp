// The type a scale is stored in. Scales are rounded to it before any weight is rounded with them, so that
// what a file holds is what the solver compensated for.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include <gptq/core/config.hpp>
#include <gptq/core/half.hpp>

namespace gptq {

/// What a scale is stored as.
enum class scale_type {
    f16,   ///< what most loaders take
    bf16,  ///< of wider range, and coarser
    f32,   ///< exact
};

/// As error messages call it.
[[nodiscard]] constexpr std::string_view name(scale_type type) noexcept {
    return type == scale_type::f16 ? "f16" : type == scale_type::bf16 ? "bf16" : "f32";
}

/// The smallest scale that grids use: a smaller one would be stored as 0, or be flushed to 0.
[[nodiscard]] constexpr float smallest_scale(scale_type type) noexcept {
    return type == scale_type::f16 ? 0x1p-24F : std::numeric_limits<float>::min();
}

/// The largest scale that grids use: f16's largest number; otherwise 2^110, so that 255 steps are still a float.
[[nodiscard]] constexpr float largest_scale(scale_type type) noexcept {
    return type == scale_type::f16 ? 65504.0F : 0x1p110F;
}

inline namespace GPTQ_ISA {

/// Calls f with a value of the C++ type that `type` names, and returns what it returns.
template <class F>
constexpr decltype(auto) visit_scale_type(scale_type type, F&& f) {
    switch (type) {
        case scale_type::f16: return f(f16{});
        case scale_type::bf16: return f(bf16{});
        case scale_type::f32: break;
    }
    return f(float{});
}

/// The nearest value that `type` can hold.
template <std::floating_point T>
[[nodiscard]] constexpr float rounded_to(scale_type type, T x) noexcept {
    return visit_scale_type(type, [x](auto stored) { return to_float(round_to<decltype(stored)>(x)); });
}

/// As rounded_to, but what lies beyond ±largest_scale becomes ±largest_scale. In arithmetic alone, since the scale
/// search needs it for every candidate: x + s - s is x rounded to the last place of s, and s is the power of two whose
/// last place is that of x in `type`.
template <std::floating_point T>
[[nodiscard]] float storable(scale_type type, T x) noexcept {
    using integer = std::conditional_t<sizeof(T) == sizeof(float), std::uint32_t, std::uint64_t>;
    struct format {
        T first_normal;  // from here down, the last place is the same
        T coarser;       // than T by this factor; 0 stands for not at all
    };
    constexpr auto coarser = [](int digits) {
        const int lost = std::numeric_limits<T>::digits - digits;
        return lost == 0 ? T{0} : static_cast<T>(1ULL << lost);
    };
    constexpr format formats[] = {{T{0x1p-14F}, coarser(11)}, {T{0x1p-126F}, coarser(8)}, {T{0x1p-126F}, coarser(24)}};
    const format f = formats[static_cast<std::size_t>(type)];
    const T magnitude = std::min(std::abs(x), static_cast<T>(largest_scale(type)));
    const auto exponent_bits = std::bit_cast<integer>(std::numeric_limits<T>::infinity());
    const T power_of_two = std::bit_cast<T>(std::bit_cast<integer>(magnitude) & exponent_bits);
    const T s = std::max(power_of_two, f.first_normal) * f.coarser;
    return static_cast<float>(std::copysign(magnitude + s - s, x));
}

/// The nearest scale that `type` can hold and that can be divided by: never 0. Keeps the sign.
template <std::floating_point T>
[[nodiscard]] float usable_scale(scale_type type, T x) noexcept {
    return storable(type, std::copysign(std::max(std::abs(x), static_cast<T>(smallest_scale(type))), x));
}

}  // namespace GPTQ_ISA
}  // namespace gptq
