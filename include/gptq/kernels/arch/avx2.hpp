// The kernels' primitives on AVX2, FMA and F16C. Sixteen outputs are two registers of eight.
// See isa.hpp for what each must do; results equal the portable ones bit for bit.
#pragma once

#include <gptq/core/config.hpp>

#if GPTQ_WITH_AVX2

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <gptq/core/half.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

struct avx2 {
    static constexpr std::string_view name = "avx2";

    struct words {
        __m256i low, high;
    };
    struct partial {  ///< 16-bit sums, two per output
        __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
    };
    struct ints {
        __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
    };
    struct floats {
        __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    };

    /// maddubs saturates at 2^15: a pair of 8-bit codes can get there, a pair of 4-bit codes cannot.
    static constexpr int largest_code = 15;
    /// Eight of the sixteen registers; the others hold codes, a broadcast, the mask. More gains nothing.
    static constexpr int partials_in_registers = 4;
    /// Additions take one cycle.
    static constexpr int dots_in_flight = 1;
    /// A step adds 8 pairs of products to each 16-bit sum.
    static constexpr std::size_t steps_per_partial(int max_code) noexcept {
        return static_cast<std::size_t>(32767 / (8 * 2 * 128 * max_code));
    }

    [[gnu::always_inline]] static words load(const std::uint32_t* from) noexcept {
        const auto* p = reinterpret_cast<const __m256i*>(from);
        return {_mm256_loadu_si256(p), _mm256_loadu_si256(p + 1)};
    }
    template <int Shift, std::uint32_t Mask>
    [[gnu::always_inline]] static words bits(words w) noexcept {
        const __m256i mask = _mm256_set1_epi32(static_cast<int>(Mask));
        const auto shifted = [](__m256i v) {
            if constexpr (Shift < 0)
                return _mm256_slli_epi32(v, -Shift);
            else
                return _mm256_srli_epi32(v, Shift);
        };
        return {_mm256_and_si256(shifted(w.low), mask), _mm256_and_si256(shifted(w.high), mask)};
    }
    [[gnu::always_inline]] static words either(words a, words b) noexcept {
        return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
    }
    [[gnu::always_inline]] static partial dot(partial sum, words codes, const std::int8_t* digits) noexcept {
        std::int32_t four = 0;
        std::memcpy(&four, digits, sizeof four);
        const __m256i x = _mm256_set1_epi32(four);
        sum = {_mm256_add_epi16(sum.low, _mm256_maddubs_epi16(codes.low, x)),
               _mm256_add_epi16(sum.high, _mm256_maddubs_epi16(codes.high, x))};
        // gcc would put off a step's additions until all its products are made, and spill the products to do so.
        asm("" : "+x"(sum.low), "+x"(sum.high));
        return sum;
    }
    template <int Factor>
    [[gnu::always_inline]] static ints widen(ints sum, partial p) noexcept {
        const __m256i factor = _mm256_set1_epi16(Factor);
        return {_mm256_add_epi32(sum.low, _mm256_madd_epi16(p.low, factor)),
                _mm256_add_epi32(sum.high, _mm256_madd_epi16(p.high, factor))};
    }

    static ints load_zeros(const std::uint8_t* zeros) noexcept {
        const __m128i z = _mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros));
        return {_mm256_cvtepu8_epi32(z), _mm256_cvtepu8_epi32(_mm_srli_si128(z, 8))};
    }
    /// Also what was stored.
    static floats load_scales(const float* scales) noexcept {
        return {_mm256_loadu_ps(scales), _mm256_loadu_ps(scales + 8)};
    }
    static floats load_scales(const f16* scales) noexcept {
        const auto* p = reinterpret_cast<const __m128i*>(scales);
        return {_mm256_cvtph_ps(_mm_loadu_si128(p)), _mm256_cvtph_ps(_mm_loadu_si128(p + 1))};
    }
    static floats load_scales(const bf16* scales) noexcept {
        const auto* p = reinterpret_cast<const __m128i*>(scales);
        const auto widened = [](__m128i half) {
            return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
        };
        return {widened(_mm_loadu_si128(p)), widened(_mm_loadu_si128(p + 1))};
    }
    static ints subtract_product(ints a, ints b, std::int32_t factor) noexcept {
        const __m256i f = _mm256_set1_epi32(factor);
        return {_mm256_sub_epi32(a.low, _mm256_mullo_epi32(b.low, f)),
                _mm256_sub_epi32(a.high, _mm256_mullo_epi32(b.high, f))};
    }
    static floats to_floats(ints a) noexcept { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
    static floats scaled(floats a, float factor) noexcept {
        const __m256 f = _mm256_set1_ps(factor);
        return {_mm256_mul_ps(a.low, f), _mm256_mul_ps(a.high, f)};
    }
    static floats multiply_add(floats a, floats b, floats sum) noexcept {
        return {_mm256_fmadd_ps(a.low, b.low, sum.low), _mm256_fmadd_ps(a.high, b.high, sum.high)};
    }
    static floats multiply_add(floats a, float factor, floats sum) noexcept {
        const __m256 f = _mm256_set1_ps(factor);
        return multiply_add(a, {f, f}, sum);
    }
    static void store(floats a, float* to) noexcept {
        _mm256_storeu_ps(to, a.low);
        _mm256_storeu_ps(to + 8, a.high);
    }
    /// An address past the end is no error: nothing is read from it. Always inline, because gcc takes a function that
    /// only prefetches for one that does nothing, and leaves out its calls.
    [[gnu::always_inline]] static void prefetch(const std::uint32_t* from, std::size_t words_ahead) noexcept {
        const auto address = reinterpret_cast<std::uintptr_t>(from) + words_ahead * sizeof *from;
        _mm_prefetch(reinterpret_cast<const char*>(address), _MM_HINT_T0);
    }
};

}  // namespace isa
}  // namespace GPTQ_ISA
}  // namespace gptq

#endif
