// A quantized linear layer as an AWQ checkpoint of version GEMM stores it, and the exact way from and to GPTQ's layout.
// 4 bits; packed along `out`, eight outputs a word; zero points as they are; groups are neighbouring inputs.
//
//     qweight  [in, out / 8]      nibble n of word t holds output 8t + awq_nibbles[n]
//     qzeros   [groups, out / 8]  likewise
//     scales   [groups, out]
//
// A word of GPTQ holds eight inputs of one output, a word of AWQ eight outputs of one input: eight words of one are
// eight words of the other, turned over as a matrix of 8 x 8 nibbles.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/core/transpose.hpp>
#include <gptq/core/view.hpp>
#include <gptq/pack/groups.hpp>
#include <gptq/pack/packed_linear.hpp>
#include <gptq/pack/parameters.hpp>

namespace gptq {

struct awq_linear {
    static constexpr unsigned bits = 4;

    std::size_t out_features = 0;  ///< a multiple of 8
    std::size_t in_features = 0;   ///< a multiple of groups
    std::size_t groups = 0;
    scale_type stored_scales = scale_type::f16;  ///< the type `scales` has in a file
    shared_array<std::uint32_t> qweight;
    std::vector<std::uint32_t> qzeros;
    std::vector<float> scales;
    std::vector<float> bias;  ///< [out], or empty
};

/// Which of its eight outputs each nibble of a word holds.
inline constexpr std::array<std::size_t, 8> awq_nibbles = {0, 2, 4, 6, 1, 3, 5, 7};

inline namespace GPTQ_ISA {

/// @throws shape_error    sizes that disagree, outputs that do not fill words, groups of unequal size
/// @throws numeric_error  a scale that is not finite
inline void check(const awq_linear& a) {
    if (a.out_features == 0 || a.in_features == 0 || a.groups == 0)
        detail::fail<shape_error>("awq_linear: ", a.out_features, " x ", a.in_features, " in ", a.groups,
                                  " groups is empty");
    if (a.out_features % 8 != 0)
        detail::fail<shape_error>("awq_linear: out_features is ", a.out_features, ", expected a multiple of 8");
    if (a.in_features % a.groups != 0)
        detail::fail<shape_error>("awq_linear: in_features is ", a.in_features, ", expected a multiple of the ",
                                  a.groups, " groups");
    impl::expect_matrix("awq_linear", "size of qweight", a.in_features, a.out_features / 8, a.qweight.size());
    impl::expect_matrix("awq_linear", "size of qzeros", a.groups, a.out_features / 8, a.qzeros.size());
    impl::expect_matrix("awq_linear", "size of scales", a.groups, a.out_features, a.scales.size());
    if (!a.bias.empty()) detail::expect_equal("awq_linear", "size of bias", a.out_features, a.bias.size());
    impl::check_scales("awq_linear", view_of(a.scales.data(), a.groups, a.out_features));
}

namespace impl {

/// So many words of AWQ side by side are made at once: what compilers keep in registers on every instruction set.
inline constexpr std::size_t awq_lanes = 4;
using word_lanes = vector_of<std::uint32_t, awq_lanes>::type;

/// Exchanges the halves that lie across the diagonal of every block of 2·Half x 2·Half nibbles.
template <std::size_t Half, class Word>
void exchange_nibbles(Word (&words)[8]) noexcept {
    constexpr auto mask = static_cast<std::uint32_t>(low_bits(4 * Half, 8 * Half));
    for (std::size_t r = 0; r < 8; ++r) {
        if ((r & Half) != 0) continue;
        const Word difference = ((words[r] >> 4 * Half) ^ words[r + Half]) & mask;
        words[r + Half] ^= difference;
        words[r] ^= difference << 4 * Half;
    }
}

/// Eight words of eight nibbles as a matrix, turned over: nibble n of word r ↔ nibble r of word n.
template <class Word>
void transpose_nibbles(Word (&words)[8]) noexcept {
    exchange_nibbles<4>(words);
    exchange_nibbles<2>(words);
    exchange_nibbles<1>(words);
}

/// 8 · awq_lanes words of GPTQ, for eight inputs → AWQ's [8 inputs, awq_lanes].
inline void block_to_awq(const std::uint32_t* from, matrix_view<std::uint32_t> to) noexcept {
    std::uint32_t gathered[8][awq_lanes];
    for (std::size_t t = 0; t < awq_lanes; t += turn_size)
        for (std::size_t n = 0; n < 8; n += turn_size) turn_block(from + 8 * t + n, 8, &gathered[n][t], awq_lanes);
    word_lanes words[8];
    for (std::size_t n = 0; n < 8; ++n) std::memcpy(&words[n], gathered[awq_nibbles[n]], sizeof words[n]);
    transpose_nibbles(words);
    for (std::size_t r = 0; r < 8; ++r) std::memcpy(to.row_data(r), &words[r], sizeof words[r]);
}

/// The way back.
inline void block_from_awq(matrix_view<const std::uint32_t> from, std::uint32_t* to) noexcept {
    word_lanes words[8];
    for (std::size_t r = 0; r < 8; ++r) std::memcpy(&words[r], from.row_data(r), sizeof words[r]);
    transpose_nibbles(words);
    std::uint32_t scattered[8][awq_lanes];
    for (std::size_t n = 0; n < 8; ++n) std::memcpy(scattered[awq_nibbles[n]], &words[n], sizeof words[n]);
    for (std::size_t t = 0; t < awq_lanes; t += turn_size)
        for (std::size_t n = 0; n < 8; n += turn_size) turn_block(&scattered[n][t], awq_lanes, to + 8 * t + n, 8);
}

/// Calls f(first word of GPTQ's, AWQ's tile) for all blocks of two matrices. Those at the edges are smaller.
template <class Word, class F>
void for_each_awq_block(matrix_view<Word> gptq, std::size_t in_features, F&& f) {
    const std::size_t words = gptq.cols / 8;
    for (std::size_t i = 0; i < in_features; i += 8)
        for (std::size_t t = 0; t < words; t += awq_lanes)
            f(gptq.row_data(i / 8) + 8 * t,
              tile{i, t, std::min<std::size_t>(8, in_features - i), std::min(awq_lanes, words - t)});
}

[[nodiscard]] constexpr bool is_whole(tile awq) noexcept { return awq.rows == 8 && awq.cols == awq_lanes; }

/// GPTQ's words [words_for(in, 4), out] → AWQ's [in, out / 8].
inline void words_to_awq(matrix_view<const std::uint32_t> gptq, matrix_view<std::uint32_t> awq) noexcept {
    for_each_awq_block(gptq, awq.rows, [awq](const std::uint32_t* from, tile now) {
        if (is_whole(now)) return block_to_awq(from, now.of(awq));
        std::uint32_t words[8 * awq_lanes] = {}, turned[8 * awq_lanes];
        std::copy_n(from, 8 * now.cols, words);
        block_to_awq(words, view_of(turned, 8, awq_lanes));
        copy_rows<std::uint32_t>(view_of(turned, 8, awq_lanes).block(0, 0, now.rows, now.cols), now.of(awq));
    });
}

/// The way back. Codes of inputs beyond the last are 0.
inline void words_from_awq(matrix_view<const std::uint32_t> awq, matrix_view<std::uint32_t> gptq) noexcept {
    for_each_awq_block(gptq, awq.rows, [awq](std::uint32_t* to, tile now) {
        if (is_whole(now)) return block_from_awq(now.of(awq), to);
        std::uint32_t words[8 * awq_lanes], turned[8 * awq_lanes] = {};
        copy_rows<std::uint32_t>(now.of(awq), view_of(turned, 8, awq_lanes).block(0, 0, now.rows, now.cols));
        block_from_awq(view_of(turned, 8, awq_lanes), words);
        std::copy_n(words, 8 * now.cols, to);
    });
}

/// A word of eight outputs, first in the lowest nibble, in AWQ's order.
[[nodiscard]] constexpr std::uint32_t to_awq_order(std::uint32_t word) noexcept {
    std::uint32_t result = 0;
    for (unsigned n = 0; n < 8; ++n) result |= ((word >> 4 * awq_nibbles[n]) & 15U) << 4 * n;
    return result;
}

/// The way back.
[[nodiscard]] constexpr std::uint32_t from_awq_order(std::uint32_t word) noexcept {
    std::uint32_t result = 0;
    for (unsigned n = 0; n < 8; ++n) result |= ((word >> 4 * n) & 15U) << 4 * awq_nibbles[n];
    return result;
}

/// @throws option_error  with the reason, and what can be done
inline void expect_awq_can_hold(const packed_linear& p) {
    using detail::fail;
    if (p.bits != awq_linear::bits)
        fail<option_error>("to_awq: bits is ", p.bits,
                           ", expected 4, the only width of AWQ; keep GPTQ or quantize again");
    if (p.out_features % 8 != 0)
        fail<option_error>("to_awq: out_features is ", p.out_features,
                           ", expected a multiple of 8, which fill a word; keep GPTQ");
    if (!groups_are_equal(p.g_idx, p.groups))
        fail<option_error>("to_awq: ", p.in_features, " inputs are in ", p.groups,
                           " groups of unequal size, which AWQ cannot hold: keep GPTQ, or quantize again with a group "
                           "size that divides them");
    if (!has_natural_groups(p.g_idx, p.groups))
        fail<option_error>(
            "to_awq: groups are scattered over the inputs (act-order), which AWQ cannot say: use "
            "without_act_order where the order of inputs is free, or quantize again with static groups");
}

}  // namespace impl

/// A GPTQ layer in AWQ's layout: the same codes, scales and zero points.
/// @throws option_error  bits are not 4, groups are not neighbouring inputs, or sizes do not fill words: with the way
/// out
/// @throws shape_error, numeric_error  as check
[[nodiscard]] inline awq_linear to_awq(const packed_linear& p) {
    check(p);
    impl::expect_awq_can_hold(p);
    awq_linear a;
    a.out_features = p.out_features;
    a.in_features = p.in_features;
    a.groups = p.groups;
    a.stored_scales = p.stored_scales;
    a.scales = p.scales;
    a.bias = p.bias;
    a.qzeros = impl::pack_zeros(impl::zeros_of(p), p.out_features, awq_linear::bits, 0);
    for (std::uint32_t& word : a.qzeros) word = impl::to_awq_order(word);
    std::vector<std::uint32_t> qweight(p.in_features * (p.out_features / 8));
    impl::words_to_awq(view_of(p.qweight.data(), words_for(p.in_features, p.bits), p.out_features),
                       view_of(qweight.data(), p.in_features, p.out_features / 8));
    a.qweight = std::move(qweight);
    return a;
}

/// The same layer in GPTQ's layout: v1, or v2 where a zero point is 0.
/// @throws shape_error, numeric_error  as check
[[nodiscard]] inline packed_linear to_gptq(const awq_linear& a) {
    check(a);
    packed_linear p;
    p.out_features = a.out_features;
    p.in_features = a.in_features;
    p.groups = a.groups;
    p.bits = awq_linear::bits;
    p.stored_scales = a.stored_scales;
    p.scales = a.scales;
    p.bias = a.bias;
    p.g_idx = natural_g_idx(a.in_features, a.in_features / a.groups);
    p.qzeros = a.qzeros;
    for (std::uint32_t& word : p.qzeros) word = impl::from_awq_order(word);
    p.zeros = zero_format::v2;
    const auto zeros = impl::zeros_of(p);
    p.zeros = impl::format_for(zeros);
    impl::put_zeros(zeros, p);
    std::vector<std::uint32_t> qweight(words_for(p.in_features, p.bits) * p.out_features);
    impl::words_from_awq(view_of(a.qweight.data(), p.in_features, p.out_features / 8),
                         view_of(qweight.data(), words_for(p.in_features, p.bits), p.out_features));
    p.qweight = std::move(qweight);
    return p;
}

/// Packs a solve's result for AWQ.
/// @throws as pack and to_awq
[[nodiscard]] inline awq_linear pack_awq(const quantized<uniform_grid>& q) { return to_awq(pack(q, zero_format::v2)); }

/// The way back.
/// @throws shape_error, numeric_error  as check
[[nodiscard]] inline quantized<uniform_grid> unpack(const awq_linear& a) { return unpack(to_gptq(a)); }

}  // namespace GPTQ_ISA
}  // namespace gptq
