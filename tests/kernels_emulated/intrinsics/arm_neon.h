// In the place of the compiler's <arm_neon.h>: Arm's intrinsics as plain C, by SIMDe, and those that it lacks.
#pragma once

#include "plain_c.hpp"

#include <simde/arm/neon.h>

#undef vfmaq_f32
#define vfmaq_f32(sum, a, b) emulated::fused(a, b, sum)
#define vusdotq_lane_s32(sum, a, b, lane) \
    emulated::dot_unsigned_signed(        \
        sum, a, simde_vreinterpretq_s8_s32(simde_vdupq_lane_s32(simde_vreinterpret_s32_s8(b), lane)))
