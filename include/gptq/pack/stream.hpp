// Codes, a byte each, ↔ streams of b-bit fields in 32-bit words: what every layout is made of, along one axis or other.
// Eight fields are b bytes, whatever b: eight codes are squeezed into them within one 64-bit number, many at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include <gptq/core/config.hpp>
#include <gptq/core/endian.hpp>
#include <gptq/pack/bits.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// Codes that are packed at a time; they fill 8·b words.
inline constexpr std::size_t block_codes = 256;
inline constexpr std::size_t block_chunks = block_codes / 8;

/// The lowest `width` bits of every `period`.
[[nodiscard]] constexpr std::uint64_t low_bits(unsigned width, unsigned period) noexcept {
    std::uint64_t mask = 0;
    for (unsigned at = 0; at < 64; at += period) mask |= ((std::uint64_t{1} << width) - 1) << at;
    return mask;
}

/// Pairs of numbers of Width bits, Period apart, become numbers of 2·Width bits.
template <unsigned Width, unsigned Period, class Word>
[[nodiscard]] constexpr Word join(Word x) noexcept {
    constexpr auto low = static_cast<Word>(low_bits(Width, 2 * Period));
    return (x & low) | ((x >> (Period - Width)) & (low << Width));
}

/// The way back.
template <unsigned Width, unsigned Period, class Word>
[[nodiscard]] constexpr Word separate(Word x) noexcept {
    constexpr auto low = static_cast<Word>(low_bits(Width, 2 * Period));
    return (x & low) | ((x << (Period - Width)) & (low << Period));
}

/// Eight codes, one in each byte, as eight fields in the lowest 8·Bits bits.
template <unsigned Bits>
[[nodiscard]] constexpr std::uint64_t squeeze(std::uint64_t codes) noexcept {
    if constexpr (Bits == 8)
        return codes;
    else
        return join<4 * Bits, 32>(join<2 * Bits, 16>(join<Bits, 8>(codes)));
}

/// Eight fields, whatever lies above them, as eight codes.
template <unsigned Bits>
[[nodiscard]] constexpr std::uint64_t spread(std::uint64_t fields) noexcept {
    if constexpr (Bits == 8)
        return fields;
    else
        return separate<Bits, 8>(separate<2 * Bits, 16>(separate<4 * Bits, 32>(fields)));
}

/// The smallest number that holds eight fields.
template <unsigned Bits>
using chunk = std::conditional_t<Bits == 2, std::uint16_t, std::conditional_t<Bits == 4, std::uint32_t, std::uint64_t>>;

/// Chunks of a block that can be read and written whole, within the block. The others are Bits bytes long.
template <unsigned Bits>
inline constexpr std::size_t whole_chunks = (block_chunks * Bits - sizeof(chunk<Bits>)) / Bits + 1;

/// block_codes codes → 8·Bits words. Two loops, of which compilers vectorize the first, and for 2, 4 and 8 bits the
/// second too; for other widths each chunk overwrites what the one before wrote too much.
/// A word's lowest bits are its first byte, so that words and bytes tell the same stream.
template <unsigned Bits>
void pack_block(const std::uint8_t* codes, std::uint32_t* words) noexcept {
    std::uint64_t fields[block_chunks];
    for (std::size_t c = 0; c < block_chunks; ++c)
        fields[c] = squeeze<Bits>(load_little_endian<std::uint64_t>(codes + 8 * c));
    auto* bytes = reinterpret_cast<unsigned char*>(words);
    for (std::size_t c = 0; c < whole_chunks<Bits>; ++c)
        store_little_endian(bytes + c * Bits, static_cast<chunk<Bits>>(fields[c]));
    for (std::size_t c = whole_chunks<Bits>; c < block_chunks; ++c) {
        const std::uint64_t last = little_endian(fields[c]);
        std::memcpy(bytes + c * Bits, &last, Bits);
    }
    turn_if_big_endian<std::uint32_t>(std::as_writable_bytes(std::span(words, 8 * Bits)));
}

/// The way back.
template <unsigned Bits>
void unpack_block(const std::uint32_t* words, std::uint8_t* codes) noexcept {
    std::uint64_t fields[block_chunks];
    const auto* bytes = reinterpret_cast<const unsigned char*>(words);
    [[maybe_unused]] std::uint32_t turned[8 * Bits];
    if constexpr (!is_little_endian) {
        std::transform(words, words + 8 * Bits, turned, little_endian<std::uint32_t>);
        bytes = reinterpret_cast<const unsigned char*>(turned);
    }
    for (std::size_t c = 0; c < whole_chunks<Bits>; ++c) fields[c] = load_little_endian<chunk<Bits>>(bytes + c * Bits);
    for (std::size_t c = whole_chunks<Bits>; c < block_chunks; ++c) {
        std::uint64_t last = 0;
        std::memcpy(&last, bytes + c * Bits, Bits);
        fields[c] = little_endian(last);
    }
    for (std::size_t c = 0; c < block_chunks; ++c) store_little_endian(codes + 8 * c, spread<Bits>(fields[c]));
}

/// `count` codes → words_for(count, Bits) words, whose unused bits are 0.
/// @pre  codes are below 2^Bits
template <unsigned Bits>
void pack_stream(const std::uint8_t* codes, std::size_t count, std::uint32_t* words) noexcept {
    for (; count >= block_codes; count -= block_codes, codes += block_codes, words += 8 * Bits)
        pack_block<Bits>(codes, words);
    if (count == 0) return;
    std::uint8_t padded[block_codes] = {};
    std::uint32_t packed[8 * Bits];
    std::copy_n(codes, count, padded);
    pack_block<Bits>(padded, packed);
    std::copy_n(packed, words_for(count, Bits), words);
}

/// The way back.
template <unsigned Bits>
void unpack_stream(const std::uint32_t* words, std::size_t count, std::uint8_t* codes) noexcept {
    for (; count >= block_codes; count -= block_codes, codes += block_codes, words += 8 * Bits)
        unpack_block<Bits>(words, codes);
    if (count == 0) return;
    std::uint32_t packed[8 * Bits] = {};
    std::uint8_t padded[block_codes];
    std::copy_n(words, words_for(count, Bits), packed);
    unpack_block<Bits>(packed, padded);
    std::copy_n(padded, count, codes);
}

/// Calls f with std::integral_constant<unsigned, bits>.
/// @pre  bits is 2 … 8
template <class F>
decltype(auto) visit_bits(unsigned bits, F&& f) {
    switch (bits) {
        case 2: return f(std::integral_constant<unsigned, 2>{});
        case 3: return f(std::integral_constant<unsigned, 3>{});
        case 4: return f(std::integral_constant<unsigned, 4>{});
        case 5: return f(std::integral_constant<unsigned, 5>{});
        case 6: return f(std::integral_constant<unsigned, 6>{});
        case 7: return f(std::integral_constant<unsigned, 7>{});
        default: return f(std::integral_constant<unsigned, 8>{});
    }
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
