// The kernels' primitives on AVX-512 VNNI: AVX-512's, but that one instruction multiplies four bytes of codes of any
// size with four digits and adds all of it to a 32-bit sum.
#pragma once

#include <gptq/core/config.hpp>

#if GPTQ_WITH_AVX512VNNI

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <gptq/kernels/arch/avx512.hpp>
#include <gptq/kernels/layout.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

struct avx512vnni : avx512 {
    static constexpr std::string_view name = "avx512vnni";

    using partial = ints;

    static constexpr int largest_code = 255;
    /// A dot waits four or five cycles for the one before it, and two can start in each.
    static constexpr int dots_in_flight = 8;
    /// 32-bit sums hold any block: 128 positions · 255 · 128 < 2^31.
    static constexpr std::size_t steps_per_partial(int) noexcept { return largest_block / step_positions; }

    [[gnu::always_inline]] static partial dot(partial sum, words codes, const std::int8_t* digits) noexcept {
        return {_mm512_dpbusd_epi32(sum.all, codes.all, broadcast(digits))};
    }
    template <int Factor>
    [[gnu::always_inline]] static ints widen(ints sum, partial p) noexcept {
        return {_mm512_add_epi32(sum.all, _mm512_mullo_epi32(p.all, _mm512_set1_epi32(Factor)))};
    }
};

}  // namespace isa
}  // namespace GPTQ_ISA
}  // namespace gptq

#endif
