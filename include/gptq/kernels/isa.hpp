// The instruction sets of this build, and what the kernels ask of one. A new one is a file in arch/ with these members
// and a line in each list below. All give the same bits: integers are exact, and every float operation is one rounding
// (multiply_add is fused).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <utility>

#include <gptq/core/config.hpp>
#include <gptq/core/half.hpp>
#include <gptq/kernels/arch/avx2.hpp>
#include <gptq/kernels/arch/avx512.hpp>
#include <gptq/kernels/arch/avx512vnni.hpp>
#include <gptq/kernels/arch/avxvnni.hpp>
#include <gptq/kernels/arch/neon.hpp>
#include <gptq/kernels/arch/neon_dotprod.hpp>
#include <gptq/kernels/arch/neon_i8mm.hpp>
#include <gptq/kernels/arch/portable.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

/// The processors' paths in this build, each faster than those before it.
// clang-format off
using compiled = std::tuple<portable
#if GPTQ_WITH_AVX2
    , avx2
#endif
#if GPTQ_WITH_AVXVNNI
    , avxvnni
#endif
#if GPTQ_WITH_AVX512
    , avx512
#endif
#if GPTQ_WITH_AVX512VNNI
    , avx512vnni
#endif
#if GPTQ_WITH_NEON
    , neon
#endif
#if GPTQ_WITH_NEON_DOTPROD
    , neon_dotprod
#endif
#if GPTQ_WITH_NEON_I8MM
    , neon_i8mm
#endif
    >;
// clang-format on
/// The fastest of them.
using native = std::tuple_element_t<std::tuple_size_v<compiled> - 1, compiled>;

}  // namespace isa

/// Each value is sixteen lanes, one per output of a tile.
///   words                   32-bit words of codes
///   partial                 sums of products, in whatever an instruction set sums fastest
///   ints, floats            32 bits each
///   largest_code            an 8-bit code comes in two 4-bit slices where this is 15
///   partials_in_registers   decides how many tokens share one pass over the weights
///   dots_in_flight          how many independent partial sums hide the latency of dot
///   steps_per_partial(c)    how many steps of codes up to c a partial sum holds
///   load(words)             sixteen words, at any address
///   bits<s, m>(w)           (w >> s) & m, or (w << -s) & m
///   either(a, b)            a | b
///   dot(sum, codes, d)      sum + Σ code·digit over the four bytes of each word and d[0] … d[3]
///   widen<f>(sum, partial)  sum + f·partial
///   load_zeros(bytes)       sixteen bytes as ints
///   load_scales(scales)     sixteen of f16, bf16 or float as floats, exactly
///   subtract_product(a,b,n) a - b·n
///   to_floats(a)            floats of ints, to nearest even
///   scaled(a, x)            a·x
///   multiply_add(a, b, sum) a·b + sum, rounded once; b is floats, or one float
///   store(a, to)            sixteen floats, at any address
///   prefetch(words, n)      a hint that what lies n words further on is wanted soon
template <class I>
concept instruction_set = requires(const std::uint32_t* from, const std::int8_t* digits, const f16* halves,
                                   const bf16* brains, const float* singles, const std::uint8_t* zeros, float* to,
                                   typename I::words w, typename I::partial p, typename I::ints n,
                                   typename I::floats f) {
    { I::name } -> std::convertible_to<std::string_view>;
    { I::largest_code } -> std::convertible_to<int>;
    { I::partials_in_registers } -> std::convertible_to<int>;
    { I::dots_in_flight } -> std::convertible_to<int>;
    { I::steps_per_partial(15) } -> std::same_as<std::size_t>;
    { I::load(from) } -> std::same_as<typename I::words>;
    { I::template bits<4, 15>(w) } -> std::same_as<typename I::words>;
    { I::template bits<-4, 0xF0>(w) } -> std::same_as<typename I::words>;
    { I::either(w, w) } -> std::same_as<typename I::words>;
    { I::dot(p, w, digits) } -> std::same_as<typename I::partial>;
    { I::template widen<256>(n, p) } -> std::same_as<typename I::ints>;
    { I::load_zeros(zeros) } -> std::same_as<typename I::ints>;
    { I::load_scales(halves) } -> std::same_as<typename I::floats>;
    { I::load_scales(brains) } -> std::same_as<typename I::floats>;
    { I::load_scales(singles) } -> std::same_as<typename I::floats>;
    { I::subtract_product(n, n, 1) } -> std::same_as<typename I::ints>;
    { I::to_floats(n) } -> std::same_as<typename I::floats>;
    { I::scaled(f, 1.0F) } -> std::same_as<typename I::floats>;
    { I::multiply_add(f, f, f) } -> std::same_as<typename I::floats>;
    { I::multiply_add(f, 1.0F, f) } -> std::same_as<typename I::floats>;
    I::store(f, to);
    I::prefetch(from, std::size_t{64});
};

}  // namespace GPTQ_ISA
}  // namespace gptq
