// Scales and zero points on their way between the solver's order, an affine for each output and group, and that of
// files: all scales of a group, and all its zero points as a stream. Codes are stream.hpp's and columns.hpp's matter.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/stream.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// The first value that is wrong, or values.size(). All are looked at before one is looked for: such a loop vectorizes.
template <class T, class Wrong>
[[nodiscard]] std::size_t find_wrong(std::span<const T> values, Wrong wrong) {
    std::uint32_t any = 0;
    for (const T& value : values) any |= static_cast<std::uint32_t>(wrong(value));
    if (any == 0) [[likely]]
        return values.size();
    return static_cast<std::size_t>(std::find_if(values.begin(), values.end(), wrong) - values.begin());
}

/// A size that says rows x cols, also where their product wraps around.
/// @pre  cols > 0
inline void expect_matrix(std::string_view who, std::string_view what, std::size_t rows, std::size_t cols,
                          std::size_t found) {
    if (found % cols != 0 || found / cols != rows)
        detail::fail<shape_error>(who, ": ", what, " is ", found, ", expected ", rows, " x ", cols);
}

/// @throws shape_error  a column belongs to no group
inline void check_g_idx(std::string_view who, std::span<const std::int32_t> g_idx, std::size_t groups) {
    const auto outside = [groups](std::int32_t k) { return static_cast<std::uint32_t>(k) >= groups; };
    if (const std::size_t i = find_wrong(g_idx, outside); i < g_idx.size())
        detail::fail<shape_error>(who, ": g_idx[", i, "] is ", g_idx[i], ", expected 0 … ", groups - 1);
}

/// @param scales  [groups, out], or [out, groups] when rows are outputs
/// @throws numeric_error  an infinity or a NaN
inline void check_scales(std::string_view who, matrix_view<const float> scales, std::string_view row = "group",
                         std::string_view column = "output") {
    const std::span all(scales.data, scales.rows * scales.cols);
    if (const std::size_t i = find_wrong(all, [](float s) { return !(std::abs(s) < INFINITY); }); i < all.size())
        detail::fail<numeric_error>(who, ": scale of ", row, " ", i / scales.cols, ", ", column, " ", i % scales.cols,
                                    " is not finite");
}

/// @throws option_error  a code that the grid does not have
inline void check_codes(std::span<const std::uint8_t> codes, unsigned maxq) {
    std::uint8_t bits = 0;
    for (const std::uint8_t code : codes) bits |= code;
    if (bits <= maxq) [[likely]]
        return;
    const auto wrong = std::find_if(codes.begin(), codes.end(), [maxq](std::uint8_t code) { return code > maxq; });
    detail::fail<option_error>("pack: a code is ", int{*wrong}, ", expected 0 … ", maxq);
}

/// Whether `type` holds x exactly. The arithmetic of `storable` is fast, and right for all but the largest numbers.
[[nodiscard]] inline bool holds(scale_type type, float x) noexcept {
    return storable(type, x) == x || rounded_to(type, x) == x;
}

/// A `quantized` that somebody made by hand may be anything.
/// @throws shape_error, option_error  sizes that disagree; codes, scales, zero points that its grid does not have
inline void check_quantized(const quantized<uniform_grid>& q) {
    using detail::fail;
    q.grid.check();
    if (q.out_features == 0 || q.in_features == 0)
        fail<shape_error>("pack: a layer of ", q.out_features, " x ", q.in_features, " is empty");
    detail::expect_equal("pack", "size of g_idx", q.in_features, q.g_idx.size());
    expect_matrix("pack", "number of codes", q.out_features, q.in_features, q.codes.size());
    expect_matrix("pack", "number of scales", q.out_features, q.groups(), q.parameters.size());
    check_g_idx("pack", q.g_idx, q.groups());
    check_codes(q.codes, q.grid.maxq());
    for (const affine a : q.parameters) {
        if (!(a.zero >= 0 && a.zero <= static_cast<float>(q.grid.maxq())) || a.zero != std::rint(a.zero))
            fail<option_error>("pack: a zero point is ", a.zero, ", expected a whole number 0 … ", q.grid.maxq());
        if (!holds(q.grid.scales, a.scale))
            fail<option_error>("pack: a scale of ", a.scale, " is not a value of ", name(q.grid.scales),
                               ", in which the grid stores scales; round it with rounded_to, or store f32");
    }
}

/// Of all groups, one after the other.
struct group_rows {
    std::vector<float> scales;        ///< [groups, out]
    std::vector<std::uint8_t> zeros;  ///< [groups, out]
};

/// Calls f(output, group) for all, in an order that suits both orders.
template <class F>
void for_each_parameter(std::size_t outputs, std::size_t groups, F&& f) {
    constexpr std::size_t strip = 64;
    for (std::size_t first = 0; first < outputs; first += strip)
        for (std::size_t k = 0; k < groups; ++k)
            for (std::size_t o = first; o < std::min(first + strip, outputs); ++o) f(o, k);
}

[[nodiscard]] inline group_rows group_rows_of(const quantized<uniform_grid>& q) {
    group_rows rows{std::vector<float>(q.parameters.size()), std::vector<std::uint8_t>(q.parameters.size())};
    for_each_parameter(q.out_features, q.groups(),
                       [from = q.parameters.data(), scales = rows.scales.data(), zeros = rows.zeros.data(),
                        outputs = q.out_features, groups = q.groups()](std::size_t o, std::size_t k) {
                           const affine a = from[o * groups + k];
                           scales[k * outputs + o] = a.scale;
                           zeros[k * outputs + o] = static_cast<std::uint8_t>(a.zero);
                       });
    return rows;
}

/// The way back: [out, groups].
[[nodiscard]] inline std::vector<affine> parameters_of(const group_rows& rows, std::size_t outputs) {
    const std::size_t groups = rows.scales.size() / outputs;
    std::vector<affine> parameters(rows.scales.size());
    for_each_parameter(outputs, groups,
                       [to = parameters.data(), scales = rows.scales.data(), zeros = rows.zeros.data(), outputs,
                        groups](std::size_t o, std::size_t k) {
                           to[o * groups + k] = {scales[k * outputs + o], static_cast<float>(zeros[k * outputs + o])};
                       });
    return parameters;
}

/// The zero points of each group as a stream: words [groups, words_for(out, bits)].
/// @param zeros  [groups, out]; what is stored is so much `less`, and must not be negative
[[nodiscard]] inline std::vector<std::uint32_t> pack_zeros(std::span<const std::uint8_t> zeros, std::size_t outputs,
                                                           unsigned bits, unsigned less) {
    const std::size_t groups = zeros.size() / outputs, pitch = words_for(outputs, bits);
    std::vector<std::uint32_t> words(groups * pitch);
    std::vector<std::uint8_t> stored(outputs);
    for (std::size_t k = 0; k < groups; ++k) {
        for (std::size_t o = 0; o < outputs; ++o) stored[o] = static_cast<std::uint8_t>(zeros[k * outputs + o] - less);
        visit_bits(bits, [&](auto b) { pack_stream<b>(stored.data(), outputs, words.data() + k * pitch); });
    }
    return words;
}

/// The way back. A field of all ones of which `less` is 1 comes back as 0.
[[nodiscard]] inline std::vector<std::uint8_t> unpack_zeros(std::span<const std::uint32_t> words, std::size_t outputs,
                                                            unsigned bits, unsigned less) {
    const std::size_t pitch = words_for(outputs, bits), groups = words.size() / pitch;
    std::vector<std::uint8_t> zeros(groups * outputs);
    for (std::size_t k = 0; k < groups; ++k)
        visit_bits(bits, [&](auto b) { unpack_stream<b>(words.data() + k * pitch, outputs, &zeros[k * outputs]); });
    if (less != 0)
        for (std::uint8_t& zero : zeros) zero = static_cast<std::uint8_t>((zero + less) & ((1U << bits) - 1U));
    return zeros;
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
