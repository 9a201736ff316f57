// The kernels' primitives on the Neon of every 64-bit Arm. Sixteen outputs are four registers of four.
// See isa.hpp for what each must do; results equal the portable ones bit for bit.
#pragma once

#include <gptq/core/config.hpp>

#if GPTQ_WITH_NEON

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <gptq/core/half.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

struct neon {
    static constexpr std::string_view name = "neon";

    // Named rather than an array: gcc keeps an array of registers in memory.
    struct words {
        uint32x4_t a, b, c, d;
    };
    struct ints {
        int32x4_t a = vdupq_n_s32(0), b = a, c = a, d = a;
    };
    struct floats {
        float32x4_t a = vdupq_n_f32(0), b = a, c = a, d = a;
    };
    /// Four outputs' 16-bit sums, one for each of the four bytes of a word.
    struct byte_sums {
        int16x8_t low = vdupq_n_s16(0), high = low;
    };
    struct partial {
        byte_sums a, b, c, d;
    };

    /// Larger ones fill the 16-bit sums within a step, which 8-bit codes in two slices do not.
    static constexpr int largest_code = 15;
    /// 24 of the 32 registers; the others hold codes, a broadcast, the mask.
    static constexpr int partials_in_registers = 3;
    /// A dot is eight instructions that do not wait for each other.
    static constexpr int dots_in_flight = 1;
    /// A step adds 8 products to each 16-bit sum.
    static constexpr std::size_t steps_per_partial(int max_code) noexcept {
        return static_cast<std::size_t>(32767 / (8 * 128 * max_code));
    }

    [[gnu::always_inline]] static words load(const std::uint32_t* from) noexcept {
        return {vld1q_u32(from), vld1q_u32(from + 4), vld1q_u32(from + 8), vld1q_u32(from + 12)};
    }
    template <int Shift, std::uint32_t Mask>
    [[gnu::always_inline]] static words bits(words w) noexcept {
        return {bits<Shift, Mask>(w.a), bits<Shift, Mask>(w.b), bits<Shift, Mask>(w.c), bits<Shift, Mask>(w.d)};
    }
    [[gnu::always_inline]] static words either(words v, words w) noexcept {
        return {vorrq_u32(v.a, w.a), vorrq_u32(v.b, w.b), vorrq_u32(v.c, w.c), vorrq_u32(v.d, w.d)};
    }
    [[gnu::always_inline]] static partial dot(partial sum, words codes, const std::int8_t* digits) noexcept {
        const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four(digits)));
        sum = {add_products(sum.a, codes.a, x), add_products(sum.b, codes.b, x), add_products(sum.c, codes.c, x),
               add_products(sum.d, codes.d, x)};
        // One dot before the next: gcc would load and mask a whole step before it multiplies, and spill. An asm without
        // outputs keeps its place.
        asm(""
            :
            : "w"(sum.a.low), "w"(sum.a.high), "w"(sum.b.low), "w"(sum.b.high), "w"(sum.c.low), "w"(sum.c.high),
              "w"(sum.d.low), "w"(sum.d.high));
        return sum;
    }
    template <int Factor>
    [[gnu::always_inline]] static ints widen(ints sum, partial p) noexcept {
        return {vmlaq_n_s32(sum.a, in_words(p.a), Factor), vmlaq_n_s32(sum.b, in_words(p.b), Factor),
                vmlaq_n_s32(sum.c, in_words(p.c), Factor), vmlaq_n_s32(sum.d, in_words(p.d), Factor)};
    }

    static ints load_zeros(const std::uint8_t* zeros) noexcept {
        const uint8x16_t z = vld1q_u8(zeros);
        const uint16x8_t low = vmovl_u8(vget_low_u8(z)), high = vmovl_u8(vget_high_u8(z));
        const auto widened = [](uint16x4_t half) { return vreinterpretq_s32_u32(vmovl_u16(half)); };
        return {widened(vget_low_u16(low)), widened(vget_high_u16(low)), widened(vget_low_u16(high)),
                widened(vget_high_u16(high))};
    }
    /// Also what was stored.
    static floats load_scales(const float* scales) noexcept {
        return {vld1q_f32(scales), vld1q_f32(scales + 4), vld1q_f32(scales + 8), vld1q_f32(scales + 12)};
    }
    static floats load_scales(const f16* scales) noexcept {
        const auto widened = [&](std::size_t i) {
            return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&scales[i].bits)));
        };
        return {widened(0), widened(4), widened(8), widened(12)};
    }
    static floats load_scales(const bf16* scales) noexcept {
        const auto widened = [&](std::size_t i) {
            return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(&scales[i].bits)), 16));
        };
        return {widened(0), widened(4), widened(8), widened(12)};
    }
    static ints subtract_product(ints v, ints w, std::int32_t factor) noexcept {
        return {vmlsq_n_s32(v.a, w.a, factor), vmlsq_n_s32(v.b, w.b, factor), vmlsq_n_s32(v.c, w.c, factor),
                vmlsq_n_s32(v.d, w.d, factor)};
    }
    static floats to_floats(ints v) noexcept {
        return {vcvtq_f32_s32(v.a), vcvtq_f32_s32(v.b), vcvtq_f32_s32(v.c), vcvtq_f32_s32(v.d)};
    }
    static floats scaled(floats v, float factor) noexcept {
        return {vmulq_n_f32(v.a, factor), vmulq_n_f32(v.b, factor), vmulq_n_f32(v.c, factor), vmulq_n_f32(v.d, factor)};
    }
    static floats multiply_add(floats v, floats w, floats sum) noexcept {
        return {vfmaq_f32(sum.a, v.a, w.a), vfmaq_f32(sum.b, v.b, w.b), vfmaq_f32(sum.c, v.c, w.c),
                vfmaq_f32(sum.d, v.d, w.d)};
    }
    static floats multiply_add(floats v, float factor, floats sum) noexcept {
        const float32x4_t f = vdupq_n_f32(factor);
        return multiply_add(v, {f, f, f, f}, sum);
    }
    static void store(floats v, float* to) noexcept {
        vst1q_f32(to, v.a);
        vst1q_f32(to + 4, v.b);
        vst1q_f32(to + 8, v.c);
        vst1q_f32(to + 12, v.d);
    }
    /// An address past the end is no error: nothing is read from it.
    [[gnu::always_inline]] static void prefetch(const std::uint32_t* from, std::size_t words_ahead) noexcept {
        const auto address = reinterpret_cast<std::uintptr_t>(from) + words_ahead * sizeof *from;
        __builtin_prefetch(reinterpret_cast<const void*>(address));
    }

protected:
    [[gnu::always_inline]] static std::int32_t four(const std::int8_t* digits) noexcept {
        std::int32_t bytes;
        std::memcpy(&bytes, digits, sizeof bytes);
        return bytes;
    }

private:
    template <int Shift, std::uint32_t Mask>
    [[gnu::always_inline]] static uint32x4_t bits(uint32x4_t w) noexcept {
        if constexpr (Shift < 0)
            return vandq_u32(vshlq_n_u32(w, -Shift), vdupq_n_u32(Mask));
        else if constexpr (Shift == 0)
            return vandq_u32(w, vdupq_n_u32(Mask));
        else if constexpr (Shift < 8 &&
                           Mask == 0x0101'0101U * (0xFFU >> Shift))  // the top of each byte: shifted as bytes
            return vreinterpretq_u32_u8(vshrq_n_u8(vreinterpretq_u8_u32(w), Shift));
        else
            return vandq_u32(vshrq_n_u32(w, Shift), vdupq_n_u32(Mask));
    }
    [[gnu::always_inline]] static byte_sums add_products(byte_sums sum, uint32x4_t codes, int8x16_t x) noexcept {
        const int8x16_t c = vreinterpretq_s8_u32(codes);
        return {vmlal_s8(sum.low, vget_low_s8(c), vget_low_s8(x)), vmlal_high_s8(sum.high, c, x)};
    }
    [[gnu::always_inline]] static int32x4_t in_words(byte_sums sum) noexcept {
        return vpaddq_s32(vpaddlq_s16(sum.low), vpaddlq_s16(sum.high));
    }
};

}  // namespace isa
}  // namespace GPTQ_ISA
}  // namespace gptq

#endif
