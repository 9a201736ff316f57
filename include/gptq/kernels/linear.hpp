// A quantized linear layer re-tiled for the kernels: the codes, scales and zero points of a packed_linear, moved to
// where a multiplication reads them, in the order it reads them. layout.hpp draws the tiles, step.hpp the bits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/half.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/kernels/step.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// What a kernel reads of one tile: streams that start at the tile's own first element.
struct tile_view {
    const line* words;          ///< [steps][bits]
    const std::byte* scales;    ///< [groups][16] of the layer's scale type
    const std::uint8_t* zeros;  ///< [groups][16]
};

/// Ŵ [out_features, in_features], ready to be multiplied. Outputs are padded to 16; each group's columns are padded to
/// blocks of 32 or more, so groups below 32 columns work but pay for the padding in memory and time.
class linear {
public:
    /// @cost  one pass over the codes, twice the memory of `p` while it runs
    /// @throws shape_error, option_error, numeric_error  `p` is inconsistent (see check)
    explicit linear(const packed_linear& p);

    [[nodiscard]] std::size_t out_features() const noexcept { return out_features_; }
    [[nodiscard]] std::size_t in_features() const noexcept { return columns_.layout.in_features; }
    [[nodiscard]] unsigned bits() const noexcept { return bits_; }
    /// Where input columns go; the same for all layers with the same in_features and g_idx.
    [[nodiscard]] const column_layout& layout() const noexcept { return columns_.layout; }
    /// Bytes that a multiplication reads, all resident.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return words_.size() * sizeof(line) + scales_.size() + zeros_.size() + bias_.size() * sizeof(float);
    }

    [[nodiscard]] std::size_t tiles() const noexcept {
        return impl::round_up(out_features_, tile_outputs) / tile_outputs;
    }
    [[nodiscard]] tile_view tile(std::size_t t) const noexcept {
        return {words_.data() + t * layout().steps() * bits_, scales_.data() + scale_offset(t, 0),
                zeros_.data() + t * groups_ * tile_outputs};
    }
    [[nodiscard]] std::span<const std::uint32_t> group_of_block() const noexcept { return columns_.group_of_block; }
    [[nodiscard]] scale_type scales_stored_as() const noexcept { return scale_type_; }
    /// [out_features], or empty.
    [[nodiscard]] std::span<const float> bias() const noexcept { return bias_; }

private:
    [[nodiscard]] std::size_t scale_offset(std::size_t tile, std::size_t group) const noexcept {
        return (tile * groups_ + group) * tile_outputs * (scale_type_ == scale_type::f32 ? 4 : 2);
    }
    void place_codes(const packed_linear& p, std::size_t tile, std::size_t outputs) noexcept;
    void place_parameters(const packed_linear& p, std::size_t tile, std::size_t outputs) noexcept;

    std::size_t out_features_;
    std::size_t groups_;
    unsigned bits_;
    scale_type scale_type_;
    impl::grouped_columns columns_;
    std::vector<line> words_;          ///< [tiles][steps][bits]
    std::vector<std::byte> scales_;    ///< [tiles][groups][16] of scale_type_
    std::vector<std::uint8_t> zeros_;  ///< [tiles][groups][16]
    std::vector<float> bias_;
};

namespace impl {

/// The type to keep scales in: the stored one, unless the layer holds values that do not fit it exactly.
[[nodiscard]] inline scale_type exact_scale_type(const packed_linear& p) noexcept {
    const bool exact = std::ranges::all_of(p.scales, [&](float s) { return rounded_to(p.stored_scales, s) == s; });
    return exact ? p.stored_scales : scale_type::f32;
}

[[nodiscard]] inline const packed_linear& checked(const packed_linear& p) {
    check(p);
    return p;
}

}  // namespace impl

inline linear::linear(const packed_linear& p)
    : out_features_(impl::checked(p).out_features),
      groups_(p.groups),
      bits_(p.bits),
      scale_type_(impl::exact_scale_type(p)),
      columns_(impl::group_columns(p.g_idx, p.groups)),
      words_(tiles() * layout().steps() * bits_),
      scales_(scale_offset(tiles(), 0)),
      zeros_(tiles() * groups_ * tile_outputs),
      bias_(p.bias) {
    for (std::size_t t = 0; t < tiles(); ++t) {
        const std::size_t outputs = std::min(tile_outputs, out_features_ - t * tile_outputs);
        place_codes(p, t, outputs);
        place_parameters(p, t, outputs);
    }
}

inline void linear::place_codes(const packed_linear& p, std::size_t tile, std::size_t outputs) noexcept {
    line* words = words_.data() + tile * layout().steps() * bits_;
    for (std::size_t i = 0; i < layout().positions; ++i) {
        const std::size_t column = layout().columns.empty() ? i : layout().columns[i];
        if (column == column_layout::padding) continue;
        std::uint32_t codes[tile_outputs] = {};
        for (std::size_t lane = 0; lane < outputs; ++lane) codes[lane] = code_at(p, tile * tile_outputs + lane, column);
        impl::put_codes(words + i / step_positions * bits_, bits_, i % step_positions, codes);
    }
}

inline void linear::place_parameters(const packed_linear& p, std::size_t tile, std::size_t outputs) noexcept {
    for (std::size_t k = 0; k < groups_; ++k)
        for (std::size_t lane = 0; lane < outputs; ++lane) {
            const std::size_t output = tile * tile_outputs + lane;
            zeros_[(tile * groups_ + k) * tile_outputs + lane] = static_cast<std::uint8_t>(zero_at(p, output, k));
            visit_scale_type(scale_type_, [&](auto stored) {
                stored = round_to<decltype(stored)>(scale_at(p, output, k));
                std::memcpy(scales_.data() + scale_offset(tile, k) + lane * sizeof stored, &stored, sizeof stored);
            });
        }
}

}  // namespace GPTQ_ISA
}  // namespace gptq
