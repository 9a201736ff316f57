// The instruction sets of this build, and what the kernels ask of one. A new one is a file in arch/ with these members
// and a line in each list below. All give the same bits: integers are exact, and every float operation is one rounding
// (multiply_add is fused).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <tuple>

#include <gptq/core/config.hpp>
#include <gptq/core/half.hpp>
#include <gptq/kernels/arch/avx2.hpp>
#include <gptq/kernels/arch/portable.hpp>
#include <gptq/kernels/layout.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

#if GPTQ_WITH_AVX2
using native = avx2;
using compiled = std::tuple<portable, avx2>;
#else
using native = portable;
using compiled = std::tuple<portable>;
#endif

}  // namespace isa

/// Each value is sixteen lanes, one per output of a tile.
///   largest_code            an 8-bit code comes in two 4-bit slices where this is 15
///   partials_in_registers   decides how many tokens share one pass over the weights
///   steps_per_partial(c)    how many steps of codes up to c a partial sum holds
///   load(line)              the words of one line
///   bits<s, m>(w)           (w >> s) & m in every byte
///   either(a, b)            a | b
///   dot(sum, codes, d)      sum + Σ code·digit over the four bytes of each word and d[0] … d[3]
///   widen<f>(sum, partial)  sum + f·partial
///   subtract_product(a,b,n) a - b·n
///   prefetch(line, n)       a hint that the line n further on is wanted soon
template <class I>
concept instruction_set = requires(const line& l, const std::int8_t* digits, const f16* scales,
                                   const std::uint8_t* zeros, float* to, typename I::words w, typename I::partial p,
                                   typename I::ints n, typename I::floats f) {
    { I::largest_code } -> std::convertible_to<int>;
    { I::partials_in_registers } -> std::convertible_to<int>;
    { I::steps_per_partial(15) } -> std::same_as<std::size_t>;
    { I::load(l) } -> std::same_as<typename I::words>;
    { I::template bits<4, 15>(w) } -> std::same_as<typename I::words>;
    { I::either(w, w) } -> std::same_as<typename I::words>;
    { I::dot(p, w, digits) } -> std::same_as<typename I::partial>;
    { I::template widen<256>(n, p) } -> std::same_as<typename I::ints>;
    { I::load_zeros(zeros) } -> std::same_as<typename I::ints>;
    { I::load_scales(scales) } -> std::same_as<typename I::floats>;
    { I::subtract_product(n, n, 1) } -> std::same_as<typename I::ints>;
    { I::to_floats(n) } -> std::same_as<typename I::floats>;
    { I::scaled(f, 1.0F) } -> std::same_as<typename I::floats>;
    { I::multiply_add(f, f, f) } -> std::same_as<typename I::floats>;
    { I::multiply_add(f, 1.0F, f) } -> std::same_as<typename I::floats>;
    I::store(f, to);
    I::prefetch(&l, std::size_t{64});
};

}  // namespace GPTQ_ISA
}  // namespace gptq
