// In the place of the compiler's <immintrin.h>: x86 intrinsics as plain C, by SIMDe, and those that it lacks.
#pragma once

#include "plain_c.hpp"

#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

namespace emulated {

inline simde__m512 floats_of_halves(simde__m256i halves) noexcept {
    return simde_mm512_castpd_ps(simde_mm512_insertf64x4(
        simde_mm512_castpd256_pd512(simde_mm256_castps_pd(simde_mm256_cvtph_ps(simde_mm256_castsi256_si128(halves)))),
        simde_mm256_castps_pd(simde_mm256_cvtph_ps(simde_mm256_extracti128_si256(halves, 1))), 1));
}

}  // namespace emulated

#undef _mm256_fmadd_ps
#undef _mm512_fmadd_ps
#undef _mm512_madd_epi16
#define _mm256_fmadd_ps(a, b, c) emulated::fused(a, b, c)
#define _mm512_fmadd_ps(a, b, c) emulated::fused(a, b, c)
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)
#define _mm512_cvtepu8_epi32(a) emulated::converted<simde__m512i, std::int32_t, std::uint8_t>(a)
#define _mm512_cvtepu16_epi32(a) emulated::converted<simde__m512i, std::int32_t, std::uint16_t>(a)
#define _mm512_cvtepi32_ps(a) emulated::converted<simde__m512, float, std::int32_t>(a)
#define _mm512_cvtph_ps(a) emulated::floats_of_halves(a)
#define _mm256_dpbusd_avx_epi32(sum, a, b) emulated::dot_unsigned_signed(sum, a, b)
