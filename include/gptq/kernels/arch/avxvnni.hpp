// The kernels' primitives on AVX-VNNI: AVX2's, but that one instruction multiplies four bytes of codes of any size with
// four digits and adds all of it to a 32-bit sum.
#pragma once

#include <gptq/core/config.hpp>

#if GPTQ_WITH_AVXVNNI

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <gptq/kernels/arch/avx2.hpp>
#include <gptq/kernels/layout.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

struct avxvnni : avx2 {
    static constexpr std::string_view name = "avxvnni";

    using partial = ints;

    static constexpr int largest_code = 255;
    /// A dot waits four or five cycles for the one before it, and two can start in each.
    static constexpr int dots_in_flight = 4;
    /// 32-bit sums hold any block: 128 positions · 255 · 128 < 2^31.
    static constexpr std::size_t steps_per_partial(int) noexcept { return largest_block / step_positions; }

    [[gnu::always_inline]] static partial dot(partial sum, words codes, const std::int8_t* digits) noexcept {
        std::int32_t four = 0;
        std::memcpy(&four, digits, sizeof four);
        const __m256i x = _mm256_set1_epi32(four);
        return {_mm256_dpbusd_avx_epi32(sum.low, codes.low, x), _mm256_dpbusd_avx_epi32(sum.high, codes.high, x)};
    }
    template <int Factor>
    [[gnu::always_inline]] static ints widen(ints sum, partial p) noexcept {
        const __m256i factor = _mm256_set1_epi32(Factor);
        return {_mm256_add_epi32(sum.low, _mm256_mullo_epi32(p.low, factor)),
                _mm256_add_epi32(sum.high, _mm256_mullo_epi32(p.high, factor))};
    }
};

}  // namespace isa
}  // namespace GPTQ_ISA
}  // namespace gptq

#endif
