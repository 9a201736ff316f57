// What this build is: the library's version and the instruction set that the compiler may use.
// The only place that looks at the compiler's ISA macros; everything else asks these.
#pragma once

#define GPTQ_VERSION_MAJOR 0
#define GPTQ_VERSION_MINOR 1
#define GPTQ_VERSION_PATCH 0

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define GPTQ_WITH_AVX2 1
#else
#define GPTQ_WITH_AVX2 0
#endif

// GPTQ_ISA names the inline namespace around all code with loops in it. Two translation units compiled
// with different flags then define different symbols, and the linker can never hand AVX-512 code
// to a program that asked for a baseline CPU. Plain data types live outside of it and may be shared.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && GPTQ_WITH_AVX2
#define GPTQ_ISA build_avx512
#elif GPTQ_WITH_AVX2
#define GPTQ_ISA build_avx2
#elif defined(__AVX__)
#define GPTQ_ISA build_avx
#elif defined(__aarch64__)
#define GPTQ_ISA build_aarch64
#else
#define GPTQ_ISA build_portable
#endif
