// llama.cpp's blocks of 32 weights: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0. Codes and scales ↔ bytes, exactly.
// A block knows nothing of layers; ggml_convert.hpp makes blocks of layers. Blocks of 256 are in ggml_k_blocks.hpp.
//
//     d [m] [fifth bits] codes        d, m: f16.  w = d·(code - zero), or d·code + m where the type stores m
//
// Byte j of 4-bit codes holds code j in its low half and code j + 16 in its high half; a fifth bit of code j is bit j
// of a word before them. Every product of d and a whole number is exact in float, and m is added last: the floats are
// those of llama.cpp, whether or not the compiler contracts a multiplication and an addition into one.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <gptq/core/config.hpp>
#include <gptq/core/endian.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/transpose.hpp>
#include <gptq/pack/ggml_type.hpp>

#if GPTQ_WITH_SSE2
#include <emmintrin.h>
#endif

namespace gptq {

/// A type of block with 32 codes of 4, 5 or 8 bits: its sizes, and where its fields begin.
template <ggml_type Type, unsigned Bits, bool HasMin>
struct code_block {
    static constexpr ggml_type type = Type;                          ///< what files call it
    static constexpr unsigned bits = Bits;                           ///< of a code
    static constexpr bool has_min = HasMin;                          ///< stores m
    static constexpr unsigned zero = HasMin ? 0 : 1U << (Bits - 1);  ///< the code that stands for m, or 0
    static constexpr std::size_t elements = 32;                      ///< weights of a block

    static constexpr std::size_t fifth_bits_offset = HasMin ? 4 : 2;  ///< in bytes, as the next; after d and m
    static constexpr std::size_t codes_offset = fifth_bits_offset + (Bits == 5 ? 4 : 0);  ///< where codes begin
    static constexpr std::size_t bytes = codes_offset + (Bits == 8 ? 32 : 16);            ///< of a block
    static_assert(elements == traits(Type).elements && bytes == traits(Type).bytes);
};

using q4_0_block = code_block<ggml_type::q4_0, 4, false>;  ///< w = d·(code - 8)
using q4_1_block = code_block<ggml_type::q4_1, 4, true>;   ///< w = d·code + m, codes of 4 bits
using q5_0_block = code_block<ggml_type::q5_0, 5, false>;  ///< w = d·(code - 16)
using q5_1_block = code_block<ggml_type::q5_1, 5, true>;   ///< w = d·code + m, codes of 5 bits
using q8_0_block = code_block<ggml_type::q8_0, 8, false>;  ///< w = d·(code - 128)

/// The codes of a block: 0 … 2^bits - 1, in the order of the weights.
using ggml_codes = std::array<std::uint8_t, 32>;

/// What a block stores beside its codes. Types without m ignore it, and leave it 0.
struct ggml_scale {
    f16 d;  ///< from a code's value to the next one's
    f16 m;  ///< the value of code 0
};

inline namespace GPTQ_ISA {

namespace impl {

/// Bytes of a block, wherever they lie. Numbers are load_little_endian's.
template <class T>
[[nodiscard]] T load_as(const void* bytes) noexcept {
    T value{};
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

template <class T>
void store_as(void* bytes, const T& value) noexcept {
    std::memcpy(bytes, &value, sizeof value);
}

/// Bytes in vector registers. Loops over 16 of them, compilers unroll first and then fail to vectorize.
template <std::size_t Count>
using octets = typename vector_of<std::uint8_t, Count>::type;

using nibbles = std::array<std::uint8_t, 16>;

[[nodiscard]] inline nibbles pack_nibbles(const ggml_codes& codes) noexcept {
    const auto halves = std::bit_cast<std::array<octets<16>, 2>>(codes);
    return std::bit_cast<nibbles>((halves[0] & 0x0F) | halves[1] << 4);
}

/// The whole numbers code - zero.
[[nodiscard]] inline std::array<float, 16> levels(octets<16> codes, unsigned zero) noexcept {
    using ints = vector_of<int, 16>::type;
    using floats = vector_of<float, 16>::type;
    return std::bit_cast<std::array<float, 16>>(
        __builtin_convertvector(__builtin_convertvector(codes, ints) - static_cast<int>(zero), floats));
}

/// Bit 4 of 16 codes. Without an instruction for it, of eight at a time: the multiplication brings each to its place in
/// the highest byte.
[[nodiscard]] inline std::uint32_t collect_fifth_bits(octets<16> codes) noexcept {
#if GPTQ_WITH_SSE2
    return static_cast<std::uint32_t>(_mm_movemask_epi8((__m128i)(codes << 3)));
#else
    const auto eights = std::bit_cast<std::array<std::uint64_t, 2>>(codes >> 4 & 1);
    const auto collected = [](std::uint64_t eight) { return little_endian(eight) * 0x0102040810204080U >> 56U; };
    return static_cast<std::uint32_t>(collected(eights[0]) | collected(eights[1]) << 8U);
#endif
}

/// The way back, for half a block: 16 where a bit is set, in vector registers all the way. Each byte of bits is copied
/// to eight codes, which keep one of them.
[[nodiscard]] inline octets<16> spread_fifth_bits(std::uint32_t bits) noexcept {
    constexpr std::uint64_t copies = 0x0101010101010101U;
    const std::array<std::uint64_t, 2> eights = {(bits & 0xFFU) * copies, (bits >> 8U & 0xFFU) * copies};
    constexpr octets<16> own = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    return std::bit_cast<octets<16>>((std::bit_cast<octets<16>>(eights) & own) == own) & 0x10;
}

/// Half of a block's codes: the first 16, or the others.
template <ggml_type Type, unsigned Bits, bool HasMin>
[[nodiscard]] octets<16> codes_at(code_block<Type, Bits, HasMin> block, const std::byte* in, unsigned half) noexcept {
    if constexpr (Bits == 8) return load_as<octets<16>>(in + block.codes_offset + 16 * half) ^ 0x80;
    auto codes = load_as<octets<16>>(in + block.codes_offset);
    codes = half == 0 ? codes & 0x0F : codes >> 4;
    if constexpr (Bits == 5)
        codes |= spread_fifth_bits(load_little_endian<std::uint32_t>(in + block.fifth_bits_offset) >> (16 * half));
    return codes;
}

/// What a block stores beside its codes.
template <ggml_type Type, unsigned Bits, bool HasMin>
[[nodiscard]] ggml_scale stored_scale(code_block<Type, Bits, HasMin>, const std::byte* in) noexcept {
    ggml_scale scale{load_little_endian<f16>(in), {}};
    if constexpr (HasMin) scale.m = load_little_endian<f16>(in + sizeof scale.d);
    return scale;
}

/// Between codes and the signed bytes code - 128 that Q8_0 stores: the same step both ways.
[[nodiscard]] inline ggml_codes flip_signs(ggml_codes codes) noexcept {
    for (std::uint8_t& code : codes) code ^= 0x80U;
    return codes;
}

}  // namespace impl

/// Writes one block, block.bytes bytes at any address.
/// @pre  codes are below 2^block.bits
template <ggml_type Type, unsigned Bits, bool HasMin>
void encode_block(code_block<Type, Bits, HasMin> block, const ggml_codes& codes, ggml_scale scale,
                  std::byte* out) noexcept {
    impl::store_little_endian(out, scale.d);
    if constexpr (HasMin) impl::store_little_endian(out + sizeof scale.d, scale.m);
    if constexpr (Bits == 5) {
        const auto halves = std::bit_cast<std::array<impl::octets<16>, 2>>(codes);
        const std::uint32_t bits = impl::collect_fifth_bits(halves[0]) | impl::collect_fifth_bits(halves[1]) << 16U;
        impl::store_little_endian(out + block.fifth_bits_offset, bits);
    }
    if constexpr (Bits == 8)
        impl::store_as(out + block.codes_offset, impl::flip_signs(codes));
    else
        impl::store_as(out + block.codes_offset, impl::pack_nibbles(codes));
}

/// Reads one block: the way back.
template <ggml_type Type, unsigned Bits, bool HasMin>
ggml_scale decode_block(code_block<Type, Bits, HasMin> block, const std::byte* in,
                        std::span<std::uint8_t, 32> codes) noexcept {
    for (const unsigned half : {0U, 1U}) impl::store_as(codes.data() + 16 * half, impl::codes_at(block, in, half));
    return impl::stored_scale(block, in);
}

/// Writes the 32 weights of a block.
template <ggml_type Type, unsigned Bits, bool HasMin>
void dequantize_block(code_block<Type, Bits, HasMin> block, const std::byte* in, float* out) noexcept {
    const ggml_scale scale = impl::stored_scale(block, in);
    const float d = to_float(scale.d), m = to_float(scale.m);
    for (const unsigned half : {0U, 1U})
        for (const float level : impl::levels(impl::codes_at(block, in, half), block.zero))
            *out++ = HasMin ? d * level + m : d * level;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
