// A quantized linear layer exactly as a GPTQ checkpoint stores it, and the exact way there and back.
// Packing moves bits: no code is derived anew, no scale is rounded here.
//
//     qweight  [words_for(in, bits), out]    codes, a stream along `in` for each output
//     qzeros   [groups, words_for(out, bits)] zero points, a stream along `out` for each group
//     scales   [groups, out]
//     g_idx    [in]                           the group of each input column
//
// docs/formats.md draws the bits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/columns.hpp>
#include <gptq/pack/parameters.hpp>
#include <gptq/pack/stream.hpp>

namespace gptq {

/// How a checkpoint stores zero points.
enum class zero_format {
    v1,  ///< zero - 1, the format that every loader reads; cannot hold a zero point of 0
    v2,  ///< the zero point itself
};

/// A layer as a GPTQ checkpoint stores it, field by field. Made by pack or by io::load_gptq; made by hand, it is
/// checked wherever it goes.
struct packed_linear {
    std::size_t out_features = 0;                ///< rows of Ŵ
    std::size_t in_features = 0;                 ///< columns of Ŵ
    std::size_t groups = 0;                      ///< of columns that share a scale and a zero point
    unsigned bits = 4;                           ///< 2, 3, 4 or 8
    zero_format zeros = zero_format::v1;         ///< how `qzeros` stores zero points
    scale_type stored_scales = scale_type::f16;  ///< the type `scales` has in a file; every value fits it exactly
    shared_array<std::uint32_t> qweight;         ///< [words_for(in, bits), out], along `in` for each output
    std::vector<std::uint32_t> qzeros;           ///< [groups, words_for(out, bits)], along `out` for each group
    std::vector<float> scales;                   ///< [groups, out]
    std::vector<std::int32_t> g_idx;             ///< [in], the group of each column
    std::vector<float> bias;                     ///< [out], or empty
};

inline namespace GPTQ_ISA {

/// The code of weight (o, i).
[[nodiscard]] inline std::uint32_t code_at(const packed_linear& p, std::size_t o, std::size_t i) noexcept {
    return field(p.qweight.data() + o, p.out_features, i, p.bits);
}

/// The true zero point of output o in group k. A v1 field of all ones is read as 0: what writers that mask meant by it.
[[nodiscard]] inline std::uint32_t zero_at(const packed_linear& p, std::size_t o, std::size_t k) noexcept {
    const std::uint32_t stored = field(p.qzeros.data() + k * words_for(p.out_features, p.bits), 1, o, p.bits);
    return p.zeros == zero_format::v2 ? stored : (stored + 1) & ((1U << p.bits) - 1U);
}

/// The scale of output o in group k.
[[nodiscard]] inline float scale_at(const packed_linear& p, std::size_t o, std::size_t k) noexcept {
    return p.scales[k * p.out_features + o];
}

/// The value of weight (o, i): scale·(code - zero).
[[nodiscard]] inline float value_at(const packed_linear& p, std::size_t o, std::size_t i) noexcept {
    const auto k = static_cast<std::size_t>(p.g_idx[i]);
    return scale_at(p, o, k) * (static_cast<float>(code_at(p, o, i)) - static_cast<float>(zero_at(p, o, k)));
}

/// Bytes that the packed tensors take in a file.
[[nodiscard]] inline std::size_t stored_bytes(const packed_linear& p) noexcept {
    const std::size_t scale_bytes = p.stored_scales == scale_type::f32 ? 4 : 2;
    return 4 * (p.qweight.size() + p.qzeros.size() + p.g_idx.size()) + scale_bytes * (p.scales.size() + p.bias.size());
}

/// Refuses a layer whose sizes disagree or whose g_idx points at no group: what kernels and accessors rely on.
/// @throws shape_error, option_error, numeric_error  (a scale that is not finite)
/// @cost   one pass over scales and g_idx; codes and zero points can be anything
inline void check(const packed_linear& p) {
    using detail::expect_equal;
    if (p.bits != 2 && p.bits != 3 && p.bits != 4 && p.bits != 8)
        detail::fail<option_error>("packed_linear: bits is ", p.bits, ", expected 2, 3, 4 or 8");
    if (p.out_features == 0 || p.in_features == 0 || p.groups == 0)
        detail::fail<shape_error>("packed_linear: ", p.out_features, " x ", p.in_features, " in ", p.groups,
                                  " groups is empty");
    expect_equal("packed_linear", "size of g_idx", p.in_features, p.g_idx.size());
    impl::expect_matrix("packed_linear", "size of scales", p.groups, p.out_features, p.scales.size());
    impl::expect_matrix("packed_linear", "size of qweight", words_for(p.in_features, p.bits), p.out_features,
                        p.qweight.size());
    impl::expect_matrix("packed_linear", "size of qzeros", p.groups, words_for(p.out_features, p.bits),
                        p.qzeros.size());
    if (!p.bias.empty()) expect_equal("packed_linear", "size of bias", p.out_features, p.bias.size());
    impl::check_g_idx("packed_linear", p.g_idx, p.groups);
    impl::check_scales("packed_linear", view_of(p.scales.data(), p.groups, p.out_features));
}

namespace impl {

/// How much less than a zero point its field is.
[[nodiscard]] constexpr unsigned less_than_zero_point(zero_format format) noexcept {
    return format == zero_format::v1 ? 1 : 0;
}

/// The true zero points [groups, out].
[[nodiscard]] inline std::vector<std::uint8_t> zeros_of(const packed_linear& p) {
    return unpack_zeros(p.qzeros, p.out_features, p.bits, less_than_zero_point(p.zeros));
}

/// Puts true zero points [groups, out] into a layer, in its format.
/// @throws option_error  the format cannot hold one of them
inline void put_zeros(std::span<const std::uint8_t> zeros, packed_linear& p) {
    if (p.zeros == zero_format::v1)
        if (const std::size_t i = find_wrong(zeros, [](std::uint8_t z) { return z == 0; }); i < zeros.size())
            detail::fail<option_error>("pack: the zero point of output ", i % p.out_features, ", group ",
                                       i / p.out_features,
                                       " is 0, which GPTQ v1 cannot store; pack as zero_format::v2");
    p.qzeros = pack_zeros(zeros, p.out_features, p.bits, less_than_zero_point(p.zeros));
}

/// The format of the widest reach that can hold these zero points.
[[nodiscard]] inline zero_format format_for(std::span<const std::uint8_t> zeros) {
    const bool has_zero = find_wrong(zeros, [](std::uint8_t z) { return z == 0; }) < zeros.size();
    return has_zero ? zero_format::v2 : zero_format::v1;
}

/// qweight of codes [out, in].
[[nodiscard]] inline std::vector<std::uint32_t> packed_codes(std::span<const std::uint8_t> codes, std::size_t outputs,
                                                             std::size_t inputs, unsigned bits) {
    std::vector<std::uint32_t> words(words_for(inputs, bits) * outputs);
    visit_bits(bits, [&](auto b) {
        pack_columns<b>(view_of(codes.data(), outputs, inputs), view_of(words.data(), words_for(inputs, b), outputs));
    });
    return words;
}

/// The codes [out, in] of a layer.
[[nodiscard]] inline std::vector<std::uint8_t> unpacked_codes(const packed_linear& p) {
    std::vector<std::uint8_t> codes(p.out_features * p.in_features);
    visit_bits(p.bits, [&](auto b) {
        unpack_columns<b>(view_of(p.qweight.data(), words_for(p.in_features, b), p.out_features),
                          view_of(codes.data(), p.out_features, p.in_features));
    });
    return codes;
}

[[nodiscard]] inline bool all_in_the_middle(std::span<const std::uint8_t> zeros, unsigned bits) {
    const unsigned middle = 1U << (bits - 1);
    return find_wrong(zeros, [middle](std::uint8_t z) { return z != middle; }) == zeros.size();
}

}  // namespace impl

/// Packs a solve's result. Every code, scale and zero point is the solver's own.
/// @param zeros  v1 for the widest reach, v2 where a zero point is 0
/// @throws option_error  bits without a GPTQ layout (5, 6, 7); a zero point 0 in v1; codes, zero
///                       points or scales that the grid does not have
/// @throws shape_error   sizes of `q` disagree
/// @cost   two passes over the codes
[[nodiscard]] inline packed_linear pack(const quantized<uniform_grid>& q, zero_format zeros) {
    impl::check_quantized(q);
    packed_linear p;
    p.out_features = q.out_features;
    p.in_features = q.in_features;
    p.groups = q.groups();
    p.bits = q.grid.bits;
    p.zeros = zeros;
    p.stored_scales = q.grid.scales;
    p.g_idx = q.g_idx;
    auto rows = impl::group_rows_of(q);
    p.scales = std::move(rows.scales);
    impl::put_zeros(rows.zeros, p);
    p.qweight = impl::packed_codes(q.codes, p.out_features, p.in_features, p.bits);
    check(p);
    return p;
}

/// Packs for the widest reach: v1, or v2 where some zero point is 0.
[[nodiscard]] inline packed_linear pack(const quantized<uniform_grid>& q) {
    const bool has_zero = std::ranges::any_of(q.parameters, [](affine a) { return a.zero == 0; });
    return pack(q, has_zero ? zero_format::v2 : zero_format::v1);
}

/// The way back: codes, scales and zero points of a checkpoint's layer.
/// @param group_size  as the checkpoint's configuration says (-1 for one group over the row)
/// @throws shape_error, option_error, numeric_error  the layer is inconsistent
[[nodiscard]] inline quantized<uniform_grid> unpack(const packed_linear& p, std::ptrdiff_t group_size) {
    check(p);
    detail::expect_equal("unpack", "number of groups", group_count(p.in_features, group_size), p.groups);
    const impl::group_rows rows{p.scales, impl::zeros_of(p)};
    quantized<uniform_grid> q;
    q.grid = {.bits = p.bits,
              .group_size = group_size,
              .sym = impl::all_in_the_middle(rows.zeros, p.bits),
              .scales = p.stored_scales};
    q.out_features = p.out_features;
    q.in_features = p.in_features;
    q.g_idx = p.g_idx;
    q.parameters = impl::parameters_of(rows, p.out_features);
    q.codes = impl::unpacked_codes(p);
    return q;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
