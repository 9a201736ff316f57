// A quantized layer seen as blocks of 32 columns: the codes, the scale and the zero point of each. What
// ggml_convert.hpp reads, from either of the two forms that a layer has. Nothing is written here.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/columns.hpp>
#include <gptq/pack/ggml_blocks.hpp>
#include <gptq/pack/packed_linear.hpp>
#include <gptq/pack/parameters.hpp>
#include <gptq/pack/stream.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// What the blocks of a layer hold beside codes.
struct block_parameters {
    std::size_t out_features;
    unsigned bits;
    std::vector<std::size_t> group_of_block;  ///< [in / 32]
    std::vector<f16> scales;                  ///< [groups, out]
    std::vector<std::uint8_t> zeros;          ///< [groups, out]

    /// Where scale and zero point of a block are.
    [[nodiscard]] std::size_t index(std::size_t output, std::size_t block) const noexcept {
        return group_of_block[block] * out_features + output;
    }
};

/// The f16 of value x where there is one, and else another. Without a branch, so that a loop over it vectorizes.
[[nodiscard]] constexpr f16 as_f16(float x) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    const std::uint32_t normal = (magnitude >> 13U) - (112U << 10U);  // exponents are biased by 127, and by 15
    // The last place of floats from 0.5 on is 2^-24, which is that of subnormal f16.
    const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3F000000U;
    const std::uint32_t value = magnitude < 0x38800000U ? subnormal : normal;
    return {static_cast<std::uint16_t>((bits >> 16U & 0x8000U) | (value & 0x7FFFU))};
}

[[nodiscard]] constexpr bool is_f16(float x) noexcept { return to_float(as_f16(x)) == x; }

/// @param scales  [groups, out]
[[nodiscard]] inline std::vector<f16> exact_scales(std::span<const float> scales, std::size_t out_features,
                                                   std::string_view who) {
    if (const std::size_t s = find_wrong(scales, [](float x) { return !is_f16(x); }); s < scales.size())
        detail::fail<option_error>(who, ": the scale of output ", s % out_features, ", group ", s / out_features,
                                   " is ", scales[s],
                                   ", which is no f16, as the scale of a block must be; quantize with f16 scales");
    std::vector<f16> halves(scales.size());
    std::ranges::transform(scales, halves.begin(), as_f16);
    return halves;
}

/// @param g_idx  [in], checked
[[nodiscard]] inline std::vector<std::size_t> groups_of_blocks(std::span<const std::int32_t> g_idx,
                                                               std::string_view who) {
    constexpr std::size_t columns = std::tuple_size_v<ggml_codes>;
    if (g_idx.size() % columns != 0)
        detail::fail<option_error>(who, ": in_features is ", g_idx.size(),
                                   ", expected a multiple of 32, the columns of a block");
    std::vector<std::size_t> groups(g_idx.size() / columns);
    for (std::size_t i = 0; i < g_idx.size(); ++i) {
        const std::size_t first = i / columns * columns;
        groups[i / columns] = static_cast<std::size_t>(g_idx[first]);
        if (g_idx[i] != g_idx[first])
            detail::fail<option_error>(who, ": column ", first, " is of group ", g_idx[first], " and column ", i,
                                       " of group ", g_idx[i],
                                       ", but the 32 columns of a block share a scale; quantize with groups of a "
                                       "multiple of 32, and with static groups where there is act-order");
    }
    return groups;
}

/// @throws shape_error, option_error, numeric_error  the layer is inconsistent, or does not divide into blocks
[[nodiscard]] inline block_parameters block_parameters_of(const packed_linear& p, std::string_view who) {
    check(p);
    return {p.out_features, p.bits, groups_of_blocks(p.g_idx, who), exact_scales(p.scales, p.out_features, who),
            zeros_of(p)};
}

/// The same.
[[nodiscard]] inline block_parameters block_parameters_of(const quantized<uniform_grid>& q, std::string_view who) {
    check_quantized(q);
    const group_rows rows = group_rows_of(q);
    return {q.out_features, q.grid.bits, groups_of_blocks(q.g_idx, who), exact_scales(rows.scales, q.out_features, who),
            rows.zeros};
}

/// Codes of blocks side by side that are handed out together.
inline constexpr std::size_t run_codes = 2048;

/// Calls f(output, first block, codes) for each run of whole blocks of a layer.
template <grid G, class F>
void for_each_run(const quantized<G>& q, F&& f) {
    const auto codes = view_of(q.codes.data(), q.out_features, q.in_features);
    for (std::size_t o = 0; o < codes.rows; ++o)
        for (std::size_t i = 0; i < codes.cols; i += run_codes)
            f(o, i / std::tuple_size_v<ggml_codes>, codes.row(o).subspan(i, std::min(run_codes, codes.cols - i)));
}

/// The same. A tile of runs is unpacked at a time, in the cache.
template <class F>
void for_each_run(const packed_linear& p, F&& f) {
    const auto words = view_of(p.qweight.data(), words_for(p.in_features, p.bits), p.out_features);
    std::vector<std::uint8_t> codes(std::min(tile_streams, p.out_features) * std::min(run_codes, p.in_features));
    for_each_tile(p.out_features, p.in_features, tile_streams, run_codes, [&](tile now, tile) {
        const auto rows = view_of(codes.data(), now.rows, now.cols);
        visit_bits(p.bits, [&](auto bits) { unpack_columns<bits>(words_of<bits>(now).of(words), rows); });
        for (std::size_t r = 0; r < now.rows; ++r)
            f(now.row + r, now.col / std::tuple_size_v<ggml_codes>, std::span<const std::uint8_t>(rows.row(r)));
    });
}

/// Calls f(output, block, codes) for each block of a layer.
template <class Layer, class F>
void for_each_block(const Layer& layer, F&& f) {
    for_each_run(layer, [&f](std::size_t output, std::size_t first, std::span<const std::uint8_t> run) {
        constexpr std::size_t columns = std::tuple_size_v<ggml_codes>;
        for (std::size_t b = 0; b < run.size() / columns; ++b)
            f(output, first + b, load_as<ggml_codes>(&run[b * columns]));
    });
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
