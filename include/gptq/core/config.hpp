// What this build is: the library's version and the instruction set that the compiler may use.
// The only place that looks at the compiler's ISA macros; everything else asks these.
#pragma once

#define GPTQ_VERSION_MAJOR 0
#define GPTQ_VERSION_MINOR 1
#define GPTQ_VERSION_PATCH 0

#if defined(__SSE2__)
#define GPTQ_WITH_SSE2 1
#else
#define GPTQ_WITH_SSE2 0
#endif

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define GPTQ_WITH_AVX2 1
#else
#define GPTQ_WITH_AVX2 0
#endif

// GPTQ_ISA names the inline namespace around the solver, the packer and the kernels. Two translation units compiled
// with different flags then define different symbols, and the linker cannot give the loops of one to the other. Errors,
// views and plain storage structs live outside and may be shared; files (gptq::io) are read by one of the two.
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
