// What this build is: the instruction set that the compiler may use.
// The only place that looks at the compiler's ISA macros; everything else asks these.
#pragma once

#if !defined(GPTQ_WITH_SSE2)  // a program that emulates instruction sets has defined all of these

/// 1 where the compiler may use SSE2, else 0.
#if defined(__SSE2__)
#define GPTQ_WITH_SSE2 1
#else
#define GPTQ_WITH_SSE2 0
#endif

/// 1 where the compiler may use AVX2, FMA and F16C, else 0.
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define GPTQ_WITH_AVX2 1
#else
#define GPTQ_WITH_AVX2 0
#endif

/// 1 where the compiler may also use AVX-VNNI, else 0.
#if GPTQ_WITH_AVX2 && defined(__AVXVNNI__)
#define GPTQ_WITH_AVXVNNI 1
#else
#define GPTQ_WITH_AVXVNNI 0
#endif

/// 1 where the compiler may also use AVX-512 F, BW and VL, else 0.
#if GPTQ_WITH_AVX2 && defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define GPTQ_WITH_AVX512 1
#else
#define GPTQ_WITH_AVX512 0
#endif

/// 1 where the compiler may also use AVX-512 VNNI, else 0.
#if GPTQ_WITH_AVX512 && defined(__AVX512VNNI__)
#define GPTQ_WITH_AVX512VNNI 1
#else
#define GPTQ_WITH_AVX512VNNI 0
#endif

/// 1 on a 64-bit Arm with NEON, else 0.
#if defined(__aarch64__) && defined(__ARM_NEON)
#define GPTQ_WITH_NEON 1
#else
#define GPTQ_WITH_NEON 0
#endif

/// 1 where the compiler may also use NEON's dot products, else 0.
#if GPTQ_WITH_NEON && defined(__ARM_FEATURE_DOTPROD)
#define GPTQ_WITH_NEON_DOTPROD 1
#else
#define GPTQ_WITH_NEON_DOTPROD 0
#endif

/// 1 where the compiler may also use NEON's matrix products of bytes, else 0.
#if GPTQ_WITH_NEON_DOTPROD && defined(__ARM_FEATURE_MATMUL_INT8)
#define GPTQ_WITH_NEON_I8MM 1
#else
#define GPTQ_WITH_NEON_I8MM 0
#endif

#endif

/// 1 where errors are thrown; 0 where the compiler was told that there are no exceptions (-fno-exceptions), and an
/// error ends the program (core/error.hpp).
#if defined(__cpp_exceptions)
#define GPTQ_WITH_EXCEPTIONS 1
#else
#define GPTQ_WITH_EXCEPTIONS 0
#endif

/// Names the inline namespace around the solver, the packer and the kernels. Two translation units compiled with
/// different flags then define different symbols, and the linker cannot give the loops of one to the other. Errors,
/// views and plain storage structs live outside and may be shared; files (gptq::io) are read by one of the two.
/// Link the build for the least processor first: templates of the standard library, and what small things of ours lie
/// outside, carry no build's name, and of several the linker keeps the first. Flags that differ in more than these
/// names tell apart (two -march= of one family): define GPTQ_ISA yourself, a name for each.
#if defined(GPTQ_ISA)
#elif GPTQ_WITH_AVX512VNNI
#define GPTQ_ISA build_avx512vnni
#elif GPTQ_WITH_AVX512
#define GPTQ_ISA build_avx512
#elif GPTQ_WITH_AVXVNNI
#define GPTQ_ISA build_avxvnni
#elif GPTQ_WITH_AVX2
#define GPTQ_ISA build_avx2
#elif defined(__AVX__)
#define GPTQ_ISA build_avx
#elif GPTQ_WITH_NEON_I8MM
#define GPTQ_ISA build_neon_i8mm
#elif GPTQ_WITH_NEON_DOTPROD
#define GPTQ_ISA build_neon_dotprod
#elif GPTQ_WITH_NEON
#define GPTQ_ISA build_neon
#else
#define GPTQ_ISA build_portable
#endif
