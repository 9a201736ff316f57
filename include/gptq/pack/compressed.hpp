// A quantized linear layer as a compressed-tensors checkpoint of format pack-quantized stores it, and the exact way
// from and to GPTQ's layout. Files speak of signed codes and zero points, stored with 2^(bits - 1) added: those are
// GPTQ's.
//
//     weight_packed      [out, words_for(in, bits)]      codes, a stream along `in` for each output
//     weight_scale       [out, groups]
//     weight_zero_point  [words_for(out, bits), groups]  a stream along `out` for each group; absent when symmetric
//     weight_g_idx       [in]                            absent where groups are neighbouring inputs
//
// Every tensor is the transpose of GPTQ's (v2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
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

/// A layer as a compressed-tensors checkpoint of format pack-quantized stores it, field by field.
struct compressed_linear {
    std::size_t out_features = 0;                  ///< rows of Ŵ
    std::size_t in_features = 0;                   ///< a multiple of groups
    std::size_t groups = 0;                        ///< of columns that share a scale and a zero point
    unsigned bits = 4;                             ///< 2 … 8
    scale_type stored_scales = scale_type::f16;    ///< the type `weight_scale` has in a file
    shared_array<std::uint32_t> weight_packed;     ///< [out, words_for(in, bits)]
    std::vector<float> weight_scale;               ///< [out, groups]
    std::vector<std::uint32_t> weight_zero_point;  ///< empty: every zero point is 2^(bits - 1)
    std::vector<std::int32_t> weight_g_idx;        ///< empty: groups of in / groups neighbouring inputs
    std::vector<float> bias;                       ///< [out], or empty
};

inline namespace GPTQ_ISA {

/// @throws option_error   bits out of range
/// @throws shape_error    sizes that disagree, groups of unequal size
/// @throws numeric_error  a scale that is not finite
inline void check(const compressed_linear& c) {
    using detail::expect_equal, detail::fail;
    constexpr const char* who = "compressed_linear";
    if (c.bits < 2 || c.bits > 8) fail<option_error>(who, ": bits is ", c.bits, ", expected 2 … 8");
    if (c.out_features == 0 || c.in_features == 0 || c.groups == 0)
        fail<shape_error>(who, ": ", c.out_features, " x ", c.in_features, " in ", c.groups, " groups is empty");
    if (c.in_features % c.groups != 0)
        fail<shape_error>(who, ": in_features is ", c.in_features, ", expected a multiple of the ", c.groups,
                          " groups");
    impl::expect_matrix(who, "size of weight_scale", c.out_features, c.groups, c.weight_scale.size());
    if (c.in_features / 32 > c.weight_packed.size())
        fail<shape_error>(who, ": ", c.weight_packed.size(), " words cannot hold ", c.in_features, " inputs");
    impl::expect_matrix(who, "size of weight_packed", c.out_features, words_for(c.in_features, c.bits),
                        c.weight_packed.size());
    if (!c.weight_zero_point.empty())
        impl::expect_matrix(who, "size of weight_zero_point", words_for(c.out_features, c.bits), c.groups,
                            c.weight_zero_point.size());
    if (!c.bias.empty()) expect_equal(who, "size of bias", c.out_features, c.bias.size());
    impl::check_scales(who, view_of(c.weight_scale.data(), c.out_features, c.groups), "output", "group");
    if (c.weight_g_idx.empty()) return;
    expect_equal(who, "size of weight_g_idx", c.in_features, c.weight_g_idx.size());
    impl::check_g_idx(who, c.weight_g_idx, c.groups);
    if (!impl::groups_are_equal(c.weight_g_idx, c.groups))
        fail<shape_error>(who, ": weight_g_idx gives groups unequal numbers of inputs, expected ",
                          c.in_features / c.groups, " in each");
}

namespace impl {

template <class Array, class T = typename Array::value_type>
[[nodiscard]] std::vector<T> transposed(const Array& values, std::size_t rows, std::size_t cols) {
    std::vector<T> result(values.size());
    transpose_matrix<T>(view_of(values.data(), rows, cols), view_of(result.data(), cols, rows));
    return result;
}

/// @throws option_error  groups of unequal size
inline void expect_compressed_can_hold(std::span<const std::int32_t> g_idx, std::size_t groups) {
    if (!groups_are_equal(g_idx, groups))
        detail::fail<option_error>("to_compressed: ", g_idx.size(), " inputs are in ", groups,
                                   " groups of unequal size, which compressed-tensors cannot hold: keep GPTQ, or "
                                   "quantize again with a group size that divides them");
}

/// Zero points [groups, out] as compressed-tensors has them, which is not at all when symmetric.
[[nodiscard]] inline std::vector<std::uint32_t> compressed_zeros(std::span<const std::uint8_t> zeros,
                                                                 std::size_t outputs, unsigned bits, bool symmetric) {
    if (!symmetric) {
        const auto words = pack_zeros(zeros, outputs, bits, 0);
        return transposed(words, zeros.size() / outputs, words_for(outputs, bits));
    }
    if (!all_in_the_middle(zeros, bits))
        detail::fail<option_error>("to_compressed: a zero point is not ", 1U << (bits - 1),
                                   ", and a symmetric checkpoint does not store it: make it asymmetric");
    return {};
}

/// The way back: true zero points [groups, out].
[[nodiscard]] inline std::vector<std::uint8_t> zeros_of(const compressed_linear& c) {
    if (c.weight_zero_point.empty())
        return std::vector<std::uint8_t>(c.groups * c.out_features, static_cast<std::uint8_t>(1U << (c.bits - 1)));
    return unpack_zeros(transposed(c.weight_zero_point, words_for(c.out_features, c.bits), c.groups), c.out_features,
                        c.bits, 0);
}

/// The group of each input.
[[nodiscard]] inline std::vector<std::int32_t> g_idx_of(const compressed_linear& c) {
    return c.weight_g_idx.empty() ? natural_g_idx(c.in_features, c.in_features / c.groups) : c.weight_g_idx;
}

/// g_idx where a file needs it, else nothing.
[[nodiscard]] inline std::vector<std::int32_t> compressed_g_idx(const std::vector<std::int32_t>& g_idx,
                                                                std::size_t groups) {
    return has_natural_groups(g_idx, groups) ? std::vector<std::int32_t>{} : g_idx;
}

}  // namespace impl

/// A GPTQ layer in compressed-tensors' layout: the same codes, scales, zero points and groups.
/// @param symmetric  whether the checkpoint says so of all its layers: zero points are not stored then
/// @throws option_error  a zero point that is not stored but should be; groups of unequal size: with the way out
/// @throws shape_error, numeric_error  as check
[[nodiscard]] inline compressed_linear to_compressed(const packed_linear& p, bool symmetric) {
    check(p);
    impl::expect_compressed_can_hold(p.g_idx, p.groups);
    compressed_linear c;
    c.out_features = p.out_features;
    c.in_features = p.in_features;
    c.groups = p.groups;
    c.bits = p.bits;
    c.stored_scales = p.stored_scales;
    c.bias = p.bias;
    c.weight_zero_point = impl::compressed_zeros(impl::zeros_of(p), p.out_features, p.bits, symmetric);
    c.weight_g_idx = impl::compressed_g_idx(p.g_idx, p.groups);
    c.weight_scale = impl::transposed(p.scales, p.groups, p.out_features);
    c.weight_packed = impl::transposed(p.qweight, words_for(p.in_features, p.bits), p.out_features);
    return c;
}

/// The same layer in GPTQ's layout: v1, or v2 where a zero point is 0.
/// @throws option_error  bits without a GPTQ layout (5, 6, 7); unpack holds them
/// @throws shape_error, numeric_error  as check
[[nodiscard]] inline packed_linear to_gptq(const compressed_linear& c) {
    check(c);
    if (c.bits >= 5 && c.bits <= 7)
        detail::fail<option_error>("to_gptq: bits is ", c.bits,
                                   ", expected 2, 3, 4 or 8; unpack gives the codes of all widths");
    packed_linear p;
    p.out_features = c.out_features;
    p.in_features = c.in_features;
    p.groups = c.groups;
    p.bits = c.bits;
    p.stored_scales = c.stored_scales;
    p.bias = c.bias;
    const auto zeros = impl::zeros_of(c);
    p.zeros = impl::format_for(zeros);
    impl::put_zeros(zeros, p);
    p.g_idx = impl::g_idx_of(c);
    p.scales = impl::transposed(c.weight_scale, c.out_features, c.groups);
    p.qweight = impl::transposed(c.weight_packed, c.out_features, words_for(c.in_features, c.bits));
    return p;
}

/// Packs a solve's result for compressed-tensors: 2 … 8 bits.
/// @param symmetric  as for to_compressed
/// @throws option_error, shape_error  as pack and to_compressed
[[nodiscard]] inline compressed_linear pack_compressed(const quantized<uniform_grid>& q, bool symmetric) {
    impl::check_quantized(q);
    impl::expect_compressed_can_hold(q.g_idx, q.groups());
    compressed_linear c;
    c.out_features = q.out_features;
    c.in_features = q.in_features;
    c.groups = q.groups();
    c.bits = q.grid.bits;
    c.stored_scales = q.grid.scales;
    const auto rows = impl::group_rows_of(q);
    c.weight_zero_point = impl::compressed_zeros(rows.zeros, q.out_features, c.bits, symmetric);
    c.weight_g_idx = impl::compressed_g_idx(q.g_idx, c.groups);
    c.weight_scale = impl::transposed(rows.scales, c.groups, c.out_features);
    const std::size_t pitch = words_for(c.in_features, c.bits);
    std::vector<std::uint32_t> words(c.out_features * pitch);
    impl::visit_bits(c.bits, [&](auto bits) {
        for (std::size_t o = 0; o < c.out_features; ++o)
            impl::pack_stream<bits>(&q.codes[o * c.in_features], c.in_features, &words[o * pitch]);
    });
    c.weight_packed = std::move(words);
    check(c);
    return c;
}

/// The way back.
/// @throws shape_error, option_error, numeric_error  as check
[[nodiscard]] inline quantized<uniform_grid> unpack(const compressed_linear& c) {
    check(c);
    const impl::group_rows rows{impl::transposed(c.weight_scale, c.out_features, c.groups), impl::zeros_of(c)};
    quantized<uniform_grid> q;
    q.grid = {.bits = c.bits,
              .group_size = static_cast<std::ptrdiff_t>(c.in_features / c.groups),
              .sym = impl::all_in_the_middle(rows.zeros, c.bits),
              .scales = c.stored_scales};
    q.out_features = c.out_features;
    q.in_features = c.in_features;
    q.g_idx = impl::g_idx_of(c);
    q.parameters = impl::parameters_of(rows, c.out_features);
    q.codes.resize(c.out_features * c.in_features);
    const std::size_t pitch = words_for(c.in_features, c.bits);
    impl::visit_bits(c.bits, [&](auto bits) {
        for (std::size_t o = 0; o < c.out_features; ++o)
            impl::unpack_stream<bits>(&c.weight_packed[o * pitch], c.in_features, &q.codes[o * c.in_features]);
    });
    return q;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
