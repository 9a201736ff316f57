// The recursion of GPTQ: round a column, push its error into the columns still to come, go on.
// Rows are independent, so a strip of `lanes` rows goes side by side through every operation, in the layout
// [column][lane]. This is the solver's hot loop; it is written so that compilers keep its sums in vector registers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <gptq/core/config.hpp>
#include <gptq/core/transpose.hpp>
#include <gptq/grid/grid.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// Rows that are solved side by side. A column waits for the one before it, so few rows leave the processor idle:
/// 32 are nearly as fast as 16.
inline constexpr std::size_t lanes = 32;

/// Columns between two register-blocked pushes.
inline constexpr std::size_t stride_columns = 16;

/// Registers that a push sums in: with fewer, multiply-adds wait for one another; more, and AVX2 runs out of them.
inline constexpr std::size_t sum_registers = 12;

#if defined(__AVX512F__)
inline constexpr std::size_t register_bytes = 64;
#elif defined(__AVX__)
inline constexpr std::size_t register_bytes = 32;
#else
inline constexpr std::size_t register_bytes = 16;
#endif

/// Calls f(0) … f(Count - 1) with constants: g++ keeps an array in registers only where no loop runs over it.
template <std::size_t Count, class F>
constexpr void repeat(F&& f) noexcept {
    [&]<std::size_t... I>(std::index_sequence<I...>) { (f(std::integral_constant<std::size_t, I>{}), ...); }
    (std::make_index_sequence<Count>{});
}

/// The lanes of one column in whole registers.
template <class T>
struct lane_vector {
    static constexpr std::size_t width = register_bytes / sizeof(T);
    static constexpr std::size_t parts = lanes / width;
    using part = typename vector_of<T, width>::type;
};

/// Columns of `lanes` rows and the piece of L that couples them; the last column is taken first, as everywhere in the
/// reversed order.
template <class T>
struct strip_view {
    T* weights;         ///< [columns][lanes] in: the original weights w; out: the errors e
    T* adjustments;     ///< [columns][lanes] in: a = Σ e_i·L_ij over the columns done before; out: settle's to use
    const T* lower;     ///< [columns, columns] of L, lower triangle
    std::size_t pitch;  ///< elements from one row of `lower` to the next
};

/// Adds the errors of columns [first, last) to the adjustments of `Count` columns from k on.
template <std::size_t Count, class T>
void push_errors(const strip_view<T>& s, std::size_t first, std::size_t last, std::size_t k) noexcept {
    using vector = lane_vector<T>;
    constexpr std::size_t parts = vector::parts;
    T* const adjustments = s.adjustments + k * lanes;
    typename vector::part sums[Count * parts];
    repeat<Count * parts>([&](auto i) { std::memcpy(&sums[i], adjustments + i * vector::width, sizeof sums[i]); });
    for (std::size_t i = first; i < last; ++i) {
        typename vector::part e[parts];
        repeat<parts>([&](auto p) { std::memcpy(&e[p], s.weights + i * lanes + p * vector::width, sizeof e[p]); });
        const T* const l = s.lower + i * s.pitch + k;
        repeat<Count * parts>([&](auto n) { sums[n] += e[n % parts] * l[n / parts]; });
    }
    repeat<Count * parts>([&](auto i) { std::memcpy(adjustments + i * vector::width, &sums[i], sizeof sums[i]); });
}

/// Takes the columns [begin, end), from the last to the first, and pushes their errors down to column `floor`.
/// @param settle  settle(j, pivot, w, a): decides column j of all lanes, turns its w into e; a is complete
template <class T, class Settle>
void recurse(const strip_view<T>& s, std::size_t floor, std::size_t begin, std::size_t end, Settle&& settle) noexcept {
    constexpr std::size_t together = std::max<std::size_t>(1, sum_registers / lane_vector<T>::parts);
    while (end > begin) {
        const std::size_t first = end - begin > stride_columns ? end - stride_columns : begin;
        for (std::size_t j = end; j-- > first;) {
            push_errors<1>(s, j + 1, end, j);
            settle(j, s.lower[j * s.pitch + j], s.weights + j * lanes, s.adjustments + j * lanes);
        }
        std::size_t k = floor;
        for (; k + together <= first; k += together) push_errors<together>(s, first, end, k);
        for (; k < first; ++k) push_errors<1>(s, first, end, k);
        end = first;
    }
}

/// Rounds a column:  v = w + a/L_jj,  q = round(v),  e = w - q.  The adjustment becomes (v - q)·L_jj, whose square is
/// what the column adds to the loss.
/// @param p        [lanes] parameters
/// @param codes    [lanes] out
/// @param clipped  [lanes] counts the values that lay beyond their group's range
template <class T, grid G>
void round_column(const G& g, T pivot, T* w, T* a, const typename G::parameters* p, std::uint8_t* codes,
                  T* clipped) noexcept {
    const T inverse = 1 / pivot;
    T code[lanes];
    for (std::size_t r = 0; r < lanes; ++r) {
        const T v = w[r] + a[r] * inverse;
        code[r] = g.round(v, p[r]);
        const T q = g.dequantize(code[r], p[r]);
        a[r] = (v - q) * pivot;
        w[r] -= q;
        if constexpr (requires { g.clips(v, p[r]); }) clipped[r] += g.clips(v, p[r]) ? T{1} : T{0};
    }
    for (std::size_t r = 0; r < lanes; ++r) codes[r] = static_cast<std::uint8_t>(code[r]);
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
