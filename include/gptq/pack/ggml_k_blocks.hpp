// llama.cpp's blocks of 256 weights with two levels of scales, Q2_K … Q6_K: their weights, read only.
// A grid of two levels is no uniform grid, so nothing is converted to these exactly; a solver would need that grid.
//
// Weights lie in runs of 32 whose codes share bytes: run t has bits 2t of 32 bytes, or one half of them. Sub-blocks of
// 16 or 32 weights have whole scales (and minima), which d (and dmin) multiply. Products of d, scale and code have at
// most 23 bits and are exact in float; a minimum is subtracted last, so contraction cannot change a bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include <gptq/core/config.hpp>
#include <gptq/core/endian.hpp>
#include <gptq/core/half.hpp>
#include <gptq/pack/ggml_blocks.hpp>
#include <gptq/pack/ggml_type.hpp>

namespace gptq {

/// A type of block with 256 weights. Derived types say where their fields begin.
template <ggml_type Type>
struct k_block {
    static constexpr ggml_type type = Type;                         ///< what files call it
    static constexpr std::size_t elements = traits(Type).elements;  ///< weights of a block
    static constexpr std::size_t bytes = traits(Type).bytes;        ///< of a block
};

/// Of 16 weights each, a scale and a minimum of 4 bits.
struct q2_k_block : k_block<ggml_type::q2_k> {
    /// Where fields begin, in bytes. @{
    static constexpr std::size_t scales = 0, codes = 16, d = 80, dmin = 82;  /// @}
};
/// Of 16 weights each, a scale of 6 bits.
struct q3_k_block : k_block<ggml_type::q3_k> {
    /// Where fields begin, in bytes. @{
    static constexpr std::size_t high_bits = 0, codes = 32, scales = 96, d = 108;  /// @}
};
/// Of 32 weights each, a scale and a minimum of 6 bits.
struct q4_k_block : k_block<ggml_type::q4_k> {
    /// Where fields begin, in bytes. @{
    static constexpr std::size_t d = 0, dmin = 2, scales = 4, codes = 16;  /// @}
};
/// Of 32 weights each, a scale and a minimum of 6 bits.
struct q5_k_block : k_block<ggml_type::q5_k> {
    /// Where fields begin, in bytes. @{
    static constexpr std::size_t d = 0, dmin = 2, scales = 4, high_bits = 16, codes = 48;  /// @}
};
/// Of 16 weights each, a scale of 8 bits.
struct q6_k_block : k_block<ggml_type::q6_k> {
    /// Where fields begin, in bytes. @{
    static constexpr std::size_t codes = 0, high_bits = 128, scales = 192, d = 208;  /// @}
};

inline namespace GPTQ_ISA {

namespace impl {

[[nodiscard]] inline float half_at(const std::byte* bytes) noexcept { return to_float(load_little_endian<f16>(bytes)); }

[[nodiscard]] inline unsigned byte_at(const std::byte* bytes, unsigned index) noexcept {
    return std::to_integer<unsigned>(bytes[index]);
}

/// The bits of 16 bytes that `mask` leaves after a shift.
[[nodiscard]] inline octets<16> bits_at(const std::byte* bytes, unsigned shift, unsigned mask) noexcept {
    return load_as<octets<16>>(bytes) >> static_cast<std::uint8_t>(shift) & static_cast<std::uint8_t>(mask);
}

/// out[l] = step·(codes[l] - zero)
inline void write_weights(octets<16> codes, unsigned zero, float step, float* out) noexcept {
    for (const float level : levels(codes, zero)) *out++ = step * level;
}

/// out[l] = step·codes[l] - min
inline void write_weights_above(octets<16> codes, float step, float min, float* out) noexcept {
    for (const float level : levels(codes, 0)) *out++ = step * level - min;
}

/// The 6-bit scale of sub-block u of 16 in Q3_K: four low bits in eight bytes, two high bits in the next four.
[[nodiscard]] inline int q3_k_scale(const std::byte* packed, unsigned u) noexcept {
    const unsigned low = byte_at(packed, u % 8) >> (4 * (u / 8)) & 15U;
    const unsigned high = byte_at(packed, 8 + u % 4) >> (2 * (u / 4)) & 3U;
    return static_cast<int>(low | high << 4U) - 32;
}

struct scale_and_min {
    float scale;
    float min;
};

/// The 6-bit scale and minimum of sub-block u of 8 in Q4_K and Q5_K. Those of the last four have their low bits in the
/// last four bytes, and their high bits on top of the first eight.
[[nodiscard]] inline scale_and_min q4_k_scale(const std::byte* packed, unsigned u) noexcept {
    unsigned scale = byte_at(packed, u) & 63U, min = byte_at(packed, u + 4) & 63U;
    if (u >= 4) {
        scale = (byte_at(packed, u + 4) & 15U) | (byte_at(packed, u - 4) & 0xC0U) >> 2U;
        min = byte_at(packed, u + 4) >> 4U | (byte_at(packed, u) & 0xC0U) >> 2U;
    }
    return {static_cast<float>(scale), static_cast<float>(min)};
}

/// Q4_K, and Q5_K, which has fifth bits.
template <class Block>
void dequantize_q4_k(Block block, const std::byte* in, float* out) noexcept {
    const float d = half_at(in + block.d), dmin = half_at(in + block.dmin);
    for (unsigned u = 0; u < 16; ++u) {
        const auto [scale, min] = q4_k_scale(in + block.scales, u / 2);
        octets<16> codes = bits_at(in + block.codes + 32 * (u / 4) + 16 * (u % 2), 4 * (u / 2 % 2), 15);
        if constexpr (Block::type == ggml_type::q5_k)
            codes |= bits_at(in + block.high_bits + 16 * (u % 2), u / 2, 1) << 4;
        write_weights_above(codes, d * scale, dmin * min, out + 16 * u);
    }
}

}  // namespace impl

/// Writes the 256 weights of a block.
inline void dequantize_block(q2_k_block block, const std::byte* in, float* out) noexcept {
    const float d = impl::half_at(in + block.d), dmin = impl::half_at(in + block.dmin);
    for (unsigned u = 0; u < 16; ++u) {
        const unsigned scales = impl::byte_at(in + block.scales, u);
        const auto codes = impl::bits_at(in + block.codes + 32 * (u / 8) + 16 * (u % 2), 2 * (u / 2 % 4), 3);
        impl::write_weights_above(codes, d * static_cast<float>(scales & 15U), dmin * static_cast<float>(scales >> 4U),
                                  out + 16 * u);
    }
}

/// The same.
inline void dequantize_block(q3_k_block block, const std::byte* in, float* out) noexcept {
    const float d = impl::half_at(in + block.d);
    for (unsigned u = 0; u < 16; ++u) {
        const auto low = impl::bits_at(in + block.codes + 32 * (u / 8) + 16 * (u % 2), 2 * (u / 2 % 4), 3);
        const auto high = impl::bits_at(in + block.high_bits + 16 * (u % 2), u / 2, 1);
        const int scale = impl::q3_k_scale(in + block.scales, u);
        impl::write_weights(low | high << 2, 4, d * static_cast<float>(scale), out + 16 * u);
    }
}

/// The same.
inline void dequantize_block(q4_k_block block, const std::byte* in, float* out) noexcept {
    impl::dequantize_q4_k(block, in, out);
}

/// The same.
inline void dequantize_block(q5_k_block block, const std::byte* in, float* out) noexcept {
    impl::dequantize_q4_k(block, in, out);
}

/// The same.
inline void dequantize_block(q6_k_block block, const std::byte* in, float* out) noexcept {
    const float d = impl::half_at(in + block.d);
    for (unsigned u = 0; u < 16; ++u) {
        const unsigned run = u / 2 % 4;
        const auto low =
            impl::bits_at(in + block.codes + 64 * (u / 8) + 32 * (run % 2) + 16 * (u % 2), 4 * (run / 2), 15);
        const auto high = impl::bits_at(in + block.high_bits + 32 * (u / 8) + 16 * (u % 2), 2 * run, 3);
        const auto scale = static_cast<std::int8_t>(impl::byte_at(in + block.scales, u));
        impl::write_weights(low | high << 4, 32, d * static_cast<float>(scale), out + 16 * u);
    }
}

}  // namespace GPTQ_ISA
}  // namespace gptq
