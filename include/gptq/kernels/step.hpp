// The bits of one step: 32 codes for each of 16 outputs in exactly `bits` lines.
//
// Codes lie in byte lanes, because bytes are what instruction sets multiply: field f holds positions 4f … 4f+3 of the
// step, one in each byte of a word, and getting it out is a shift and a mask.
//
//     8 bits   line f, the byte
//     4 bits   line f/2, low or high half of the byte
//     2 bits   line f/4, one of four pairs of bits
//     3 bits   fields 0 … 5: line f/2, bits 0-2 or 3-5. Bits 6-7 are left over in each of the three lines; fields 6 and
//              7 live there: their low two bits in line 0 and 1, their third bits in bit 6 and 7 of line 2.
#pragma once

#include <cstddef>
#include <cstdint>

#include <gptq/core/config.hpp>
#include <gptq/kernels/layout.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

inline constexpr int fields_per_step = 8;

/// A code's line, and its lowest bit within the byte.
struct code_place {
    std::size_t line;
    unsigned shift;
};

/// For every field but 6 and 7 of 3 bits.
[[nodiscard]] constexpr code_place place_of(unsigned bits, std::size_t field) noexcept {
    const std::size_t codes_per_byte = 8 / bits;
    return {field / codes_per_byte, static_cast<unsigned>(field % codes_per_byte) * bits};
}

/// Field `Field` of a step, a code per byte. On instruction sets that multiply only 4-bit codes, an 8-bit code comes in
/// two slices, and Slice says which.
template <class Isa, int Bits, int Field, int Slice>
[[nodiscard, gnu::always_inline]] inline auto codes_of(const line* step) noexcept {
    if constexpr (Bits == 3 && Field >= 6) {
        return Isa::either(Isa::template bits<6, 3>(Isa::load(step[Field - 6])),
                           Isa::template bits<Field - 2, 4>(Isa::load(step[2])));
    } else {
        constexpr code_place at = place_of(Bits, Field);
        constexpr int mask = (1 << Bits) - 1 < Isa::largest_code ? (1 << Bits) - 1 : Isa::largest_code;
        return Isa::template bits<static_cast<int>(at.shift) + 4 * Slice, mask>(Isa::load(step[at.line]));
    }
}

inline void or_codes(line& to, const std::uint32_t (&codes)[tile_outputs], std::size_t byte, unsigned shift) noexcept {
    for (std::size_t lane = 0; lane < tile_outputs; ++lane)
        to.word[lane] |= codes[lane] << (8 * static_cast<unsigned>(byte) + shift);
}

/// The way in: writes one position's codes, a code per output, into a step whose bits there are 0.
inline void put_codes(line* step, unsigned bits, std::size_t position,
                      const std::uint32_t (&codes)[tile_outputs]) noexcept {
    const std::size_t field = position / 4, byte = position % 4;
    if (bits == 3 && field >= 6) {
        std::uint32_t low[tile_outputs], third[tile_outputs];
        for (std::size_t lane = 0; lane < tile_outputs; ++lane) {
            low[lane] = codes[lane] & 3U;
            third[lane] = codes[lane] >> 2U;
        }
        or_codes(step[field - 6], low, byte, 6);
        or_codes(step[2], third, byte, static_cast<unsigned>(field));
    } else {
        const code_place at = place_of(bits, field);
        or_codes(step[at.line], codes, byte, at.shift);
    }
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
