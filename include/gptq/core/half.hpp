// Storage types of 16-bit floating point: IEEE binary16 (f16) and bfloat16 (bf16).
// They hold bits and convert; arithmetic is done in float. Every conversion rounds once, to nearest even.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include <gptq/core/config.hpp>
#include <gptq/core/one_of.hpp>

namespace gptq {

/// IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits.
struct f16 {
    std::uint16_t bits = 0;  ///< sign on top, then exponent, then fraction
};

/// The upper half of a binary32: 1 sign, 8 exponent, 7 fraction bits.
struct bf16 {
    std::uint16_t bits = 0;  ///< sign on top, then exponent, then fraction
};

/// A type that an activation, a weight or a scale may be stored in.
template <class T>
concept storable_float = detail::is_one_of<T, float, double, f16, bf16>;

inline namespace GPTQ_ISA {

/// The number that is stored, exactly; a double stays one.
[[nodiscard]] constexpr float to_float(float x) noexcept { return x; }
/// The same.
[[nodiscard]] constexpr double to_float(double x) noexcept { return x; }

/// The same.
[[nodiscard]] constexpr float to_float(bf16 x) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16U);
}

/// The same. Without a branch, so that a loop over it vectorizes.
[[nodiscard]] constexpr float to_float(f16 x) noexcept {
    const std::uint32_t sign = (x.bits & 0x8000U) << 16U;
    const std::int32_t magnitude = x.bits & 0x7FFF;
    const std::int32_t leading_bit = magnitude >= 0x0400 ? 0x0400 : 0;  // which subnormals lack
    const std::int32_t exponent = magnitude >= 0x0400 ? magnitude >> 10 : 1;
    const std::uint32_t not_finite = magnitude >= 0x7C00 ? 0x7F800000U : 0;
    const auto power = std::bit_cast<float>((exponent - 25 + 127) << 23);
    const float value = static_cast<float>(leading_bit | (magnitude & 0x3FF)) * power;  // exact
    return std::bit_cast<float>(sign | not_finite | std::bit_cast<std::uint32_t>(value));
}

namespace impl {

/// Rounds a finite or infinite double to a format of `fraction` fraction bits, whose smallest normal exponent is
/// `min_exponent` and whose exponent bias is 1 - min_exponent; returns its bits without the sign.
constexpr std::uint16_t round_magnitude(double x, int fraction, int min_exponent, std::uint32_t infinity) noexcept {
    const auto bits = std::bit_cast<std::uint64_t>(x) & 0x7FFFFFFFFFFFFFFFULL;
    if (bits >= 0x7FF0000000000000ULL) return static_cast<std::uint16_t>(infinity);
    const int exponent = static_cast<int>(bits >> 52U) - 1023;
    if (exponent < min_exponent - fraction - 1) return 0;
    const bool normal = exponent >= min_exponent;
    // The value is mantissa · 2^(exponent - 52); `drop` bits of it lie below the format's last place.
    const std::uint64_t mantissa = (bits & 0xFFFFFFFFFFFFFULL) | 0x10000000000000ULL;
    const int drop = 52 - fraction + (normal ? 0 : min_exponent - exponent);
    const std::uint64_t half = 1ULL << static_cast<unsigned>(drop - 1);
    const std::uint64_t rest = mantissa & (2 * half - 1);
    std::uint64_t kept = mantissa >> static_cast<unsigned>(drop);
    kept += static_cast<std::uint64_t>(rest > half || (rest == half && (kept & 1U) != 0));
    // A carry out of the fraction runs into the exponent field, which is what it must do.
    const std::uint64_t field = normal ? static_cast<std::uint64_t>(exponent - min_exponent) : 0;
    const std::uint64_t result = (field << static_cast<unsigned>(fraction)) + kept;
    return static_cast<std::uint16_t>(result < infinity ? result : infinity);
}

constexpr std::uint16_t round_to_16_bits(double x, int fraction, int min_exponent, std::uint32_t infinity) noexcept {
    const auto sign = static_cast<std::uint16_t>((std::bit_cast<std::uint64_t>(x) >> 48U) & 0x8000U);
    const auto quiet_nan = static_cast<std::uint16_t>(infinity | (1U << static_cast<unsigned>(fraction - 1)));
    const auto magnitude = x != x ? quiet_nan : round_magnitude(x, fraction, min_exponent, infinity);
    return static_cast<std::uint16_t>(sign | magnitude);
}

/// a where the condition holds, else b, by masks: compilers make a branch of anything else.
constexpr std::uint32_t choose(bool condition, std::uint32_t a, std::uint32_t b) noexcept {
    const std::uint32_t mask = 0U - static_cast<std::uint32_t>(condition);
    return (a & mask) | (b & ~mask);
}

/// The same for a float, without a branch, so that a loop over it vectorizes.
constexpr std::uint16_t round_to_f16(float x) noexcept {
    constexpr std::int32_t infinity = 0x7F80'0000, beyond_f16 = 0x4780'0000, first_normal = 0x3880'0000;
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const auto magnitude = static_cast<std::int32_t>(bits & 0x7FFF'FFFFU);
    const std::uint32_t odd = bits >> 13U & 1U;
    const std::uint32_t normal = (static_cast<std::uint32_t>(magnitude) - 0x3800'0000U + 0xFFFU + odd) >> 13U;
    // The last place of 0.5 + |x| is f16's smallest number.
    const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3F00'0000U;
    const std::uint32_t finite = choose(magnitude < first_normal, subnormal, normal);
    const std::uint32_t others = choose(magnitude > infinity, 0x7E00U, 0x7C00U);
    return static_cast<std::uint16_t>((bits >> 16U & 0x8000U) | choose(magnitude < beyond_f16, finite, others));
}

constexpr std::uint16_t round_to_bf16(float x) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t rounded = (bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U;
    const std::uint32_t quiet_nan = (bits >> 16U & 0x8000U) | 0x7FC0U;
    return static_cast<std::uint16_t>((bits & 0x7FFF'FFFFU) > 0x7F80'0000U ? quiet_nan : rounded);
}

}  // namespace impl

/// x rounded to T once, to nearest even; overflow becomes infinity. float and double arguments both round only once.
template <storable_float T, std::floating_point S>
[[nodiscard]] constexpr T round_to(S x) noexcept {
    if constexpr (std::is_same_v<T, f16> && std::is_same_v<S, float>)
        return {impl::round_to_f16(x)};
    else if constexpr (std::is_same_v<T, bf16> && std::is_same_v<S, float>)
        return {impl::round_to_bf16(x)};
    else if constexpr (std::is_same_v<T, f16>)
        return {impl::round_to_16_bits(static_cast<double>(x), 10, -14, 0x7C00U)};
    else if constexpr (std::is_same_v<T, bf16>)
        return {impl::round_to_16_bits(static_cast<double>(x), 7, -126, 0x7F80U)};
    else
        return static_cast<T>(x);
}

}  // namespace GPTQ_ISA
}  // namespace gptq
