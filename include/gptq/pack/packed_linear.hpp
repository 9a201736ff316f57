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
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/pack/bits.hpp>

namespace gptq {

/// How a checkpoint stores zero points.
enum class zero_format {
    v1,  ///< zero - 1, the format that every loader reads; cannot hold a zero point of 0
    v2,  ///< the zero point itself
};

struct packed_linear {
    std::size_t out_features = 0;
    std::size_t in_features = 0;
    std::size_t groups = 0;
    unsigned bits = 4;  ///< 2, 3, 4 or 8
    zero_format zeros = zero_format::v1;
    scale_type stored_scales = scale_type::f16;  ///< the type `scales` has in a file; every value fits it exactly
    std::vector<std::uint32_t> qweight;
    std::vector<std::uint32_t> qzeros;
    std::vector<float> scales;
    std::vector<std::int32_t> g_idx;
    std::vector<float> bias;  ///< [out], or empty
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
inline void check(const packed_linear& p) {
    using detail::expect_equal;
    if (p.bits != 2 && p.bits != 3 && p.bits != 4 && p.bits != 8)
        detail::fail<option_error>("packed_linear: bits is ", p.bits, ", expected 2, 3, 4 or 8");
    if (p.out_features == 0 || p.in_features == 0 || p.groups == 0)
        detail::fail<shape_error>("packed_linear: ", p.out_features, " x ", p.in_features, " in ", p.groups,
                                  " groups is empty");
    expect_equal("packed_linear", "size of qweight", words_for(p.in_features, p.bits) * p.out_features,
                 p.qweight.size());
    expect_equal("packed_linear", "size of qzeros", p.groups * words_for(p.out_features, p.bits), p.qzeros.size());
    expect_equal("packed_linear", "size of scales", p.groups * p.out_features, p.scales.size());
    expect_equal("packed_linear", "size of g_idx", p.in_features, p.g_idx.size());
    if (!p.bias.empty()) expect_equal("packed_linear", "size of bias", p.out_features, p.bias.size());
    for (std::size_t i = 0; i < p.in_features; ++i)
        if (p.g_idx[i] < 0 || static_cast<std::size_t>(p.g_idx[i]) >= p.groups)
            detail::fail<shape_error>("packed_linear: g_idx[", i, "] is ", p.g_idx[i], ", expected 0 … ", p.groups - 1);
    for (std::size_t s = 0; s < p.scales.size(); ++s)
        if (!std::isfinite(p.scales[s]))
            detail::fail<numeric_error>("packed_linear: scale of group ", s / p.out_features, ", output ",
                                        s % p.out_features, " is not finite");
}

namespace impl {

/// A `quantized` that somebody made by hand may be anything.
inline void expect_packable(const quantized<uniform_grid>& q) {
    using detail::expect_equal;
    using detail::fail;
    q.grid.check();
    expect_equal("pack", "number of codes", q.out_features * q.in_features, q.codes.size());
    expect_equal("pack", "number of scales", q.out_features * q.groups(), q.parameters.size());
    for (const std::uint8_t code : q.codes)
        if (code > q.grid.maxq()) fail<option_error>("pack: a code is ", int{code}, ", expected 0 … ", q.grid.maxq());
    for (const affine a : q.parameters) {
        if (!(a.zero >= 0 && a.zero <= static_cast<float>(q.grid.maxq())) || a.zero != std::rint(a.zero))
            fail<option_error>("pack: a zero point is ", a.zero, ", expected a whole number 0 … ", q.grid.maxq());
        if (rounded_to(q.grid.scales, a.scale) != a.scale)
            fail<option_error>("pack: a scale of ", a.scale, " is not a value of the type that scales are stored in");
    }
}

}  // namespace impl

/// Packs a solve's result. Every code, scale and zero point is the solver's own.
/// @param zeros  v1 for the widest reach, v2 where a zero point is 0
/// @throws option_error  bits without a GPTQ layout (5, 6, 7); a zero point 0 in v1; codes, zero
///                       points or scales that the grid does not have
/// @throws shape_error   sizes of `q` disagree
[[nodiscard]] inline packed_linear pack(const quantized<uniform_grid>& q, zero_format zeros) {
    impl::expect_packable(q);
    packed_linear p;
    p.out_features = q.out_features;
    p.in_features = q.in_features;
    p.groups = q.groups();
    p.bits = q.grid.bits;
    p.zeros = zeros;
    p.stored_scales = q.grid.scales;
    p.g_idx = q.g_idx;
    p.qweight.resize(words_for(p.in_features, p.bits) * p.out_features);
    p.qzeros.resize(p.groups * words_for(p.out_features, p.bits));
    p.scales.resize(p.groups * p.out_features);
    check(p);
    for (std::size_t o = 0; o < p.out_features; ++o)
        for (std::size_t i = 0; i < p.in_features; ++i)
            or_field(p.qweight.data() + o, p.out_features, i, p.bits, q.codes[o * p.in_features + i]);
    for (std::size_t k = 0; k < p.groups; ++k)
        for (std::size_t o = 0; o < p.out_features; ++o) {
            const affine a = q.parameters[o * p.groups + k];
            p.scales[k * p.out_features + o] = a.scale;
            const auto zero = static_cast<std::uint32_t>(a.zero);
            if (zeros == zero_format::v1 && zero == 0)
                detail::fail<option_error>("pack: the zero point of output ", o, ", group ", k,
                                           " is 0, which GPTQ v1 cannot store; pack as zero_format::v2");
            or_field(p.qzeros.data() + k * words_for(p.out_features, p.bits), 1, o, p.bits,
                     zeros == zero_format::v1 ? zero - 1 : zero);
        }
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
    quantized<uniform_grid> q;
    q.grid = {.bits = p.bits, .group_size = group_size, .scales = p.stored_scales};
    q.out_features = p.out_features;
    q.in_features = p.in_features;
    q.g_idx = p.g_idx;
    q.codes.resize(p.out_features * p.in_features);
    q.parameters.resize(p.out_features * p.groups);
    for (std::size_t o = 0; o < p.out_features; ++o) {
        for (std::size_t i = 0; i < p.in_features; ++i)
            q.codes[o * p.in_features + i] = static_cast<std::uint8_t>(code_at(p, o, i));
        for (std::size_t k = 0; k < p.groups; ++k)
            q.parameters[o * p.groups + k] = {scale_at(p, o, k), static_cast<float>(zero_at(p, o, k))};
    }
    const auto middle = static_cast<float>(1U << (p.bits - 1));
    q.grid.sym = std::ranges::all_of(q.parameters, [middle](affine a) { return a.zero == middle; });
    return q;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
