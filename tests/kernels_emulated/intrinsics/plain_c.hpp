// How SIMDe gives us intrinsics, and registers as arrays: how we write down those that it lacks.
#pragma once

#define SIMDE_NO_NATIVE
#define SIMDE_NO_INLINE  // thousands of calls in one unrolled loop
#define SIMDE_ENABLE_NATIVE_ALIASES
// clang would check the shift that a kernel writes down but does not take.
#include <simde/hedley.h>
#undef HEDLEY_REQUIRE_MSG
#define HEDLEY_REQUIRE_MSG(condition, message)

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace emulated {

template <class Lane, class Register>
using lanes_of = std::array<Lane, sizeof(Register) / sizeof(Lane)>;

template <class Lane, class Register>
[[nodiscard]] lanes_of<Lane, Register> lanes(const Register& r) noexcept {
    return std::bit_cast<lanes_of<Lane, Register>>(r);
}

/// Each lane of `from` as another type.
template <class Register, class To, class From, class Source>
[[nodiscard]] Register converted(const Source& source) noexcept {
    lanes_of<To, Register> to{};
    const auto from = lanes<From>(source);
    static_assert(to.size() == from.size());
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<To>(from[i]);
    return std::bit_cast<Register>(to);
}

/// a·b + c with one rounding; SIMDe rounds twice.
template <class Register>
[[nodiscard]] Register fused(const Register& a, const Register& b, const Register& c) noexcept {
    const auto x = lanes<float>(a), y = lanes<float>(b);
    auto sum = lanes<float>(c);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = std::fma(x[i], y[i], sum[i]);
    return std::bit_cast<Register>(sum);
}

/// sum + the products of each word's four unsigned bytes in a with its four signed bytes in b.
template <class Register, class Codes, class Digits>
[[nodiscard]] Register dot_unsigned_signed(const Register& sum, const Codes& a, const Digits& b) noexcept {
    auto result = lanes<std::int32_t>(sum);
    const auto codes = lanes<std::uint8_t>(a);
    const auto digits = lanes<std::int8_t>(b);
    for (std::size_t i = 0; i < codes.size(); ++i) result[i / 4] += codes[i] * digits[i];
    return std::bit_cast<Register>(result);
}

}  // namespace emulated

// No instruction reads a register that is emulated.
#define asm(...)
