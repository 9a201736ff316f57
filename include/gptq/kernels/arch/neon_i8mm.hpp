// The kernels' primitives on Neon with I8MM: DotProd's, but that codes are unsigned, so one multiplication takes 8-bit
// ones whole. Its products of matrices want rows of eight codes of an output, which a line does not have.
#pragma once

#include <gptq/core/config.hpp>

#if GPTQ_WITH_NEON_I8MM

#include <arm_neon.h>

#include <cstdint>
#include <string_view>

#include <gptq/kernels/arch/neon.hpp>
#include <gptq/kernels/arch/neon_dotprod.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

struct neon_i8mm : neon_dotprod {
    static constexpr std::string_view name = "neon_i8mm";

    static constexpr int largest_code = 255;

    [[gnu::always_inline]] static partial dot(partial sum, words codes, const std::int8_t* digits) noexcept {
        const int8x8_t x = in_lane_0(digits);
        const auto add = [x](int32x4_t s, uint32x4_t w) __attribute__((always_inline)) {
            return vusdotq_lane_s32(s, vreinterpretq_u8_u32(w), x, 0);
        };
        return in_order({add(sum.a, codes.a), add(sum.b, codes.b), add(sum.c, codes.c), add(sum.d, codes.d)});
    }
};

}  // namespace isa
}  // namespace GPTQ_ISA
}  // namespace gptq

#endif
