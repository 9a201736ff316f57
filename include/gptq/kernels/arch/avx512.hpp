// The kernels' primitives on AVX-512 BW and VL. Sixteen outputs are one register.
// See isa.hpp for what each must do; results equal the portable ones bit for bit.
#pragma once

#include <gptq/core/config.hpp>

#if GPTQ_WITH_AVX512

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <gptq/core/half.hpp>
#include <gptq/kernels/arch/avx2.hpp>

// gcc 12 takes its own intrinsics' undefined operands, which nothing reads, for a mistake of theirs (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

struct avx512 {
    static constexpr std::string_view name = "avx512";

    // Members rather than bare registers: as a template's argument, a register would lose its attributes.
    struct words {
        __m512i all;
    };
    struct partial {  ///< 16-bit sums, two per output
        __m512i all = _mm512_setzero_si512();
    };
    struct ints {
        __m512i all = _mm512_setzero_si512();
    };
    struct floats {
        __m512 all = _mm512_setzero_ps();
    };

    static constexpr int largest_code = avx2::largest_code;
    /// Of 32 registers. Eight tokens of one digit, four of two or three; twice as many are no faster, or slower.
    static constexpr int partials_in_registers = 12;
    static constexpr int dots_in_flight = 1;
    static constexpr std::size_t steps_per_partial(int max_code) noexcept { return avx2::steps_per_partial(max_code); }

    [[gnu::always_inline]] static words load(const std::uint32_t* from) noexcept { return {_mm512_loadu_si512(from)}; }
    template <int Shift, std::uint32_t Mask>
    [[gnu::always_inline]] static words bits(words w) noexcept {
        const __m512i mask = _mm512_set1_epi32(static_cast<int>(Mask));
        if constexpr (Shift < 0)
            return {_mm512_and_si512(_mm512_slli_epi32(w.all, static_cast<unsigned>(-Shift)), mask)};
        else
            return {_mm512_and_si512(_mm512_srli_epi32(w.all, static_cast<unsigned>(Shift)), mask)};
    }
    [[gnu::always_inline]] static words either(words a, words b) noexcept { return {_mm512_or_si512(a.all, b.all)}; }
    [[gnu::always_inline]] static __m512i broadcast(const std::int8_t* digits) noexcept {
        std::int32_t four = 0;
        std::memcpy(&four, digits, sizeof four);
        return _mm512_set1_epi32(four);
    }
    [[gnu::always_inline]] static partial dot(partial sum, words codes, const std::int8_t* digits) noexcept {
        sum = {_mm512_add_epi16(sum.all, _mm512_maddubs_epi16(codes.all, broadcast(digits)))};
        // gcc would put off a step's additions until all its products are made, and spill the products to do so.
        asm("" : "+v"(sum.all));
        return sum;
    }
    template <int Factor>
    [[gnu::always_inline]] static ints widen(ints sum, partial p) noexcept {
        return {_mm512_add_epi32(sum.all, _mm512_madd_epi16(p.all, _mm512_set1_epi16(Factor)))};
    }

    static ints load_zeros(const std::uint8_t* zeros) noexcept {
        return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros)))};
    }
    static floats load_scales(const float* scales) noexcept { return {_mm512_loadu_ps(scales)}; }
    static floats load_scales(const f16* scales) noexcept { return {_mm512_cvtph_ps(load_halves(scales))}; }
    static floats load_scales(const bf16* scales) noexcept {
        return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_halves(scales)), 16))};
    }
    static ints subtract_product(ints a, ints b, std::int32_t factor) noexcept {
        return {_mm512_sub_epi32(a.all, _mm512_mullo_epi32(b.all, _mm512_set1_epi32(factor)))};
    }
    static floats to_floats(ints a) noexcept { return {_mm512_cvtepi32_ps(a.all)}; }
    static floats scaled(floats a, float factor) noexcept { return {_mm512_mul_ps(a.all, _mm512_set1_ps(factor))}; }
    static floats multiply_add(floats a, floats b, floats sum) noexcept {
        return {_mm512_fmadd_ps(a.all, b.all, sum.all)};
    }
    static floats multiply_add(floats a, float factor, floats sum) noexcept {
        return multiply_add(a, {_mm512_set1_ps(factor)}, sum);
    }
    static void store(floats a, float* to) noexcept { _mm512_storeu_ps(to, a.all); }
    [[gnu::always_inline]] static void prefetch(const std::uint32_t* from, std::size_t words_ahead) noexcept {
        avx2::prefetch(from, words_ahead);
    }

private:
    static __m256i load_halves(const void* from) noexcept {
        return _mm256_loadu_si256(static_cast<const __m256i*>(from));
    }
};

}  // namespace isa
}  // namespace GPTQ_ISA
}  // namespace gptq

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#endif
