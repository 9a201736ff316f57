// The bits of one step: 32 codes for each of 16 outputs in exactly `bits` lines.
//
// Kernels multiply bytes, so a step is read as eight fields: a field is four codes of each output, one in each byte of
// its word, and getting it out is a shift and a mask. Words of 2, 4 and 8 bits are the checkpoint's own. Such a word
// holds 4·c consecutive codes, c in each byte; shifted by s·bits, its bytes show codes s, c + s, 2·c + s, 3·c + s.
//
//     8 bits   field f is line f
//     4 bits   field f is in line f/2: the low or the high half of each byte
//     2 bits   field f is in line f/4: one of four pairs of bits
//     3 bits   a checkpoint's codes cross bytes and words: 12 bits are cut out and spread over four bytes. Tiles hold
//              them so spread. Fields 0 … 5 are in line f/2, bits 0-2 or 3-5. Bits 6-7 are left over in each of the
//              three lines; fields 6 and 7 live there: their low two bits in line 0 and 1, their third bits in bit 6
//              and 7 of line 2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <gptq/core/config.hpp>
#include <gptq/kernels/layout.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

inline constexpr int fields_per_step = 8;

template <class F, int... I>
[[gnu::always_inline]] inline void call_each(F& f, std::integer_sequence<int, I...>) noexcept {
    (f(std::integral_constant<int, I>{}), ...);
}

/// f(0), f(1), …, f(N - 1) with constants: what a loop keeps in an array, this keeps in registers at -O2 as well.
template <int N, class F>
[[gnu::always_inline]] inline void unrolled(F&& f) noexcept {
    call_each(f, std::make_integer_sequence<int, N>{});
}

/// The door from a layer's run-time bits to the kernels' compile-time ones.
/// @pre  bits is 2, 3, 4 or 8
template <class F>
decltype(auto) visit_kernel_bits(unsigned bits, F&& f) {
    switch (bits) {
        case 2: return f(std::integral_constant<int, 2>{});
        case 3: return f(std::integral_constant<int, 3>{});
        case 4: return f(std::integral_constant<int, 4>{});
        default: return f(std::integral_constant<int, 8>{});
    }
}

/// Which position of its step is byte `byte` of field `field`.
[[nodiscard]] constexpr std::size_t position_of(std::size_t codes_per_byte, std::size_t field,
                                                std::size_t byte) noexcept {
    return field / codes_per_byte * codes_per_byte * 4 + field % codes_per_byte + byte * codes_per_byte;
}

/// A step within a tile.
struct tile_step {
    static constexpr bool is_tile = true;
    const line* lines;

    [[nodiscard, gnu::always_inline]] const std::uint32_t* operator[](std::size_t l) const noexcept {
        return lines[l].word;
    }
    /// What lies `count` lines further on.
    [[nodiscard, gnu::always_inline]] tile_step further(std::size_t count) const noexcept { return {lines + count}; }
    /// How far to prefetch: 8 KiB, over the end of a tile into the next. Less is late, more gains nothing.
    [[nodiscard, gnu::always_inline]] static constexpr std::size_t words_ahead() noexcept { return 128 * tile_outputs; }
};

/// Sixteen outputs' words of a step, as rows of a checkpoint's qweight.
struct checkpoint_step {
    static constexpr bool is_tile = false;
    const std::uint32_t* words;
    std::size_t row_stride;    ///< in words: out_features
    std::size_t rows_a_block;  ///< how far to prefetch: the next block is read after this one's neighbours

    [[nodiscard, gnu::always_inline]] const std::uint32_t* operator[](std::size_t l) const noexcept {
        return words + l * row_stride;
    }
    [[nodiscard, gnu::always_inline]] checkpoint_step further(std::size_t count) const noexcept {
        return {words + count * row_stride, row_stride, rows_a_block};
    }
    [[nodiscard, gnu::always_inline]] std::size_t words_ahead() const noexcept { return rows_a_block * row_stride; }
};

/// Twelve bits of every word, from bit 12·Field of a 3-bit stream on, as four bytes.
template <class Isa, int Field>
[[nodiscard, gnu::always_inline]] inline auto spread_field(const checkpoint_step& step) noexcept {
    constexpr int row = 12 * Field / 32, shift = 12 * Field % 32, crossing = shift + 12 - 32;
    const auto twelve = [&] {
        if constexpr (crossing > 0)
            return Isa::either(Isa::template bits<shift, 0xFFF>(Isa::load(step[row])),
                               Isa::template bits<-(32 - shift), 0xFFF>(Isa::load(step[row + 1])));
        else
            return Isa::template bits<shift, 0xFFF>(Isa::load(step[row]));
    }();
    const auto pairs = Isa::either(Isa::template bits<0, 0x3F>(twelve), Isa::template bits<-10, 0x3F'0000>(twelve));
    return Isa::either(Isa::template bits<0, 0x0007'0007>(pairs), Isa::template bits<-5, 0x0700'0700>(pairs));
}

/// Field `Field` of a step, a code per byte. On instruction sets that multiply only 4-bit codes, an 8-bit code comes in
/// two slices, and Slice says which.
template <class Isa, int Bits, int Field, int Slice, class Step>
[[nodiscard, gnu::always_inline]] inline auto codes_of(const Step& step) noexcept {
    constexpr auto in_each_byte = [](int mask) { return static_cast<std::uint32_t>(mask) * 0x0101'0101U; };
    if constexpr (Bits == 3 && !Step::is_tile) {
        return spread_field<Isa, Field>(step);
    } else if constexpr (Bits == 3 && Field >= 6) {
        return Isa::either(Isa::template bits<6, in_each_byte(3)>(Isa::load(step[Field - 6])),
                           Isa::template bits<Field - 2, in_each_byte(4)>(Isa::load(step[2])));
    } else {
        constexpr int per_byte = 8 / Bits, largest = (1 << Bits) - 1;
        constexpr int mask = largest < Isa::largest_code ? largest : Isa::largest_code;
        return Isa::template bits<Field % per_byte * Bits + 4 * Slice, in_each_byte(mask)>(
            Isa::load(step[Field / per_byte]));
    }
}

/// Puts field `Field`, given as a code per byte, where codes_of finds it, in lines whose bits there are 0.
template <int Bits, int Field>
[[gnu::always_inline]] inline void put_field(const std::uint32_t (&codes)[tile_outputs], line* step) noexcept {
    constexpr std::uint32_t low_two = 0x0303'0303, third = 0x0404'0404;
    for (std::size_t lane = 0; lane < tile_outputs; ++lane) {
        const std::uint32_t c = codes[lane];
        if constexpr (Bits == 3 && Field >= 6) {
            step[Field - 6].word[lane] |= (c & low_two) << 6U;
            step[2].word[lane] |= (c & third) << static_cast<unsigned>(Field - 2);
        } else {
            constexpr int per_byte = 8 / Bits;
            step[Field / per_byte].word[lane] |= c << static_cast<unsigned>(Field % per_byte * Bits);
        }
    }
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
