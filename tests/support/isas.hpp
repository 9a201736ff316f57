// The instruction sets that a test program is about: those that the program for the next smaller processor has not.
#pragma once

#include <tuple>

#include <gptq/kernels/isa.hpp>

namespace support {

#if GPTQ_WITH_AVX2 && GPTQ_WITH_NEON  // emulated: on no processor are both
using tested_isas = gptq::isa::compiled;
#elif GPTQ_WITH_AVX512VNNI
using tested_isas = std::tuple<gptq::isa::avx512, gptq::isa::avx512vnni>;
#else
using tested_isas = std::tuple<gptq::isa::native>;
#endif

}  // namespace support
