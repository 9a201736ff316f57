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

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/past_cache.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/columns.hpp>
#include <gptq/pack/groups.hpp>
#include <gptq/pack/packed_linear.hpp>
#include <gptq/pack/parameters.hpp>
#include <gptq/pack/stream.hpp>

namespace gptq {

/// A layer as an AWQ checkpoint of version GEMM stores it, field by field.
struct awq_linear {
    static constexpr unsigned bits = 4;  ///< the only width of the format

    std::size_t out_features = 0;                ///< a multiple of 8
    std::size_t in_features = 0;                 ///< a multiple of groups
    std::size_t groups = 0;                      ///< of neighbouring inputs
    scale_type stored_scales = scale_type::f16;  ///< the type `scales` has in a file
    shared_array<std::uint32_t> qweight;         ///< [in, out / 8], nibbles in the order of awq_nibbles
    std::vector<std::uint32_t> qzeros;           ///< [groups, out / 8], likewise
    std::vector<float> scales;                   ///< [groups, out]
    std::vector<float> bias;                     ///< [out], or empty
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

/// Exchanges the halves that lie across the diagonal of every block of 2·Half x 2·Half nibbles.
template <std::size_t Half>
constexpr void exchange_nibbles(std::uint32_t (&words)[8]) noexcept {
    constexpr auto mask = static_cast<std::uint32_t>(low_bits(4 * Half, 8 * Half));
    for (std::size_t r = 0; r < 8; ++r) {
        if ((r & Half) != 0) continue;
        const std::uint32_t difference = ((words[r] >> 4 * Half) ^ words[r + Half]) & mask;
        words[r + Half] ^= difference;
        words[r] ^= difference << 4 * Half;
    }
}

/// Eight words of eight nibbles as a matrix, turned over: nibble n of word r ↔ nibble r of word n.
constexpr void transpose_nibbles(std::uint32_t (&words)[8]) noexcept {
    exchange_nibbles<4>(words);
    exchange_nibbles<2>(words);
    exchange_nibbles<1>(words);
}

/// Words of AWQ side by side that are made at once, of eight inputs: runs of 256 bytes in each row.
inline constexpr std::size_t awq_tile = 64;
using awq_rows = std::uint32_t[8][awq_tile];

/// Word (n, t) of eight outputs' words, for `count` t → word (input, t) of AWQ.
inline void turn_to_awq(const awq_rows& outputs, awq_rows& inputs, std::size_t count) noexcept {
    for (std::size_t t = 0; t < count; ++t) {
        std::uint32_t words[8];
        for (std::size_t n = 0; n < 8; ++n) words[n] = outputs[awq_nibbles[n]][t];
        transpose_nibbles(words);
        for (std::size_t i = 0; i < 8; ++i) inputs[i][t] = words[i];
    }
}

/// The way back. Codes of inputs beyond the last are 0.
inline void turn_from_awq(matrix_view<const std::uint32_t> inputs, awq_rows& outputs) noexcept {
    static constexpr std::uint32_t none[awq_tile] = {};
    const std::uint32_t* rows[8];
    for (std::size_t i = 0; i < 8; ++i) rows[i] = i < inputs.rows ? inputs.row_data(i) : none;
    for (std::size_t t = 0; t < inputs.cols; ++t) {
        std::uint32_t words[8];
        for (std::size_t i = 0; i < 8; ++i) words[i] = rows[i][t];
        transpose_nibbles(words);
        for (std::size_t n = 0; n < 8; ++n) outputs[awq_nibbles[n]][t] = words[n];
    }
}

/// GPTQ's words [words_for(in, 4), out] → AWQ's [in, out / 8].
inline void words_to_awq(matrix_view<const std::uint32_t> gptq, matrix_view<std::uint32_t> awq) noexcept {
    const bool past_cache = is_beyond_caches(awq);
    for_each_tile(awq.rows, awq.cols, 8, awq_tile, [=](tile now, tile) {
        alignas(64) awq_rows outputs, inputs;
        turn_into<awq_tile>(view_of(gptq.row_data(now.row / 8) + 8 * now.col, now.cols, 8), outputs[0]);
        turn_to_awq(outputs, inputs, now.cols);
        write_rows<std::uint32_t>(in_buffer<awq_tile>(inputs[0], now.rows, now.cols), now.of(awq), past_cache);
    });
    if (past_cache) finish_past_cache();
}

/// The way back.
inline void words_from_awq(matrix_view<const std::uint32_t> awq, matrix_view<std::uint32_t> gptq) noexcept {
    const bool past_cache = is_beyond_caches(gptq);
    for_each_tile(awq.rows, awq.cols, 8, awq_tile, [=](tile now, tile next) {
        alignas(64) awq_rows outputs;
        alignas(64) std::uint32_t words[8 * awq_tile];
        prefetch<1>(next.of(awq), 0);
        turn_from_awq(now.of(awq), outputs);
        turn_into<8>(in_buffer<awq_tile, const std::uint32_t>(outputs[0], 8, now.cols), words);
        write_rows<std::uint32_t>(view_of(words, 1, 8 * now.cols),
                                  gptq.block(now.row / 8, 8 * now.col, 1, 8 * now.cols), past_cache);
    });
    if (past_cache) finish_past_cache();
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
