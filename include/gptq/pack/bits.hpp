// Fields of b bits in a stream of 32-bit words, first field in the lowest bits: the bit order of GPTQ checkpoints.
// For 2, 4 and 8 bits no field crosses a word; for 3 bits 32 fields fill three words and two of them do cross.
#pragma once

#include <cstddef>
#include <cstdint>

#include <gptq/core/config.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// Words that hold `count` fields. No product overflows, whatever the count.
[[nodiscard]] constexpr std::size_t words_for(std::size_t count, unsigned bits) noexcept {
    return count / 32 * bits + (count % 32 * bits + 31) / 32;
}

/// Field `index` of the stream words[0], words[stride], words[2·stride], …
[[nodiscard]] constexpr std::uint32_t field(const std::uint32_t* words, std::size_t stride, std::size_t index,
                                            unsigned bits) noexcept {
    const std::size_t word = index * bits / 32;
    const auto shift = static_cast<unsigned>(index * bits % 32);
    std::uint32_t value = words[word * stride] >> shift;
    if (shift + bits > 32) value |= words[(word + 1) * stride] << (32 - shift);
    return value & ((1U << bits) - 1U);
}

/// Ors `value` into field `index`, which must be 0. Bits of `value` above the field are dropped.
constexpr void or_field(std::uint32_t* words, std::size_t stride, std::size_t index, unsigned bits,
                        std::uint32_t value) noexcept {
    const std::size_t word = index * bits / 32;
    const auto shift = static_cast<unsigned>(index * bits % 32);
    value &= (1U << bits) - 1U;
    words[word * stride] |= value << shift;
    if (shift + bits > 32) words[(word + 1) * stride] |= value >> (32 - shift);
}

}  // namespace GPTQ_ISA
}  // namespace gptq
