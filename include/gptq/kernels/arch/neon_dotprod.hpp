// The kernels' primitives on Neon with DotProd: Neon's, but that one instruction multiplies four bytes of codes with
// four digits and adds all of it to a 32-bit sum.
#pragma once

#include <gptq/core/config.hpp>

#if GPTQ_WITH_NEON_DOTPROD

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <gptq/kernels/arch/neon.hpp>
#include <gptq/kernels/layout.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

/// Its codes are signed bytes, so 8-bit ones come in two slices as well.
struct neon_dotprod : neon {
    static constexpr std::string_view name = "neon_dotprod";

    using partial = ints;

    /// 24 of the 32 registers; the others hold codes, a broadcast, the mask.
    static constexpr int partials_in_registers = 6;
    /// An instruction waits three or four cycles for the one before it, and the widest cores start four in each.
    static constexpr int dots_in_flight = 4;
    /// 32-bit sums hold any block: 128 positions · 255 · 128 < 2^31.
    static constexpr std::size_t steps_per_partial(int) noexcept { return largest_block / step_positions; }

    [[gnu::always_inline]] static partial dot(partial sum, words codes, const std::int8_t* digits) noexcept {
        const int8x8_t x = in_lane_0(digits);
        const auto add = [x](int32x4_t s, uint32x4_t w) __attribute__((always_inline)) {
            return vdotq_lane_s32(s, vreinterpretq_s8_u32(w), x, 0);
        };
        return in_order({add(sum.a, codes.a), add(sum.b, codes.b), add(sum.c, codes.c), add(sum.d, codes.d)});
    }
    template <int Factor>
    [[gnu::always_inline]] static ints widen(ints sum, partial p) noexcept {
        return {vmlaq_n_s32(sum.a, p.a, Factor), vmlaq_n_s32(sum.b, p.b, Factor), vmlaq_n_s32(sum.c, p.c, Factor),
                vmlaq_n_s32(sum.d, p.d, Factor)};
    }

protected:
    /// Four digits where an instruction finds them for every output; the other lane is not read.
    [[gnu::always_inline]] static int8x8_t in_lane_0(const std::int8_t* digits) noexcept {
        return vreinterpret_s8_s32(vset_lane_s32(four(digits), vdup_n_s32(0), 0));
    }
    /// One dot before the next, as neon::dot says why.
    [[gnu::always_inline]] static partial in_order(partial sum) noexcept {
        asm("" : : "w"(sum.a), "w"(sum.b), "w"(sum.c), "w"(sum.d));
        return sum;
    }
};

}  // namespace isa
}  // namespace GPTQ_ISA
}  // namespace gptq

#endif
