// How kernels see a weight matrix, whatever its bits and groups:
//   tile   16 outputs, one per 32-bit lane of a 64-byte line
//   step   32 positions along the input; 16 outputs of b-bit codes are then exactly b lines
//   block  1, 2 or 4 steps of one group: what shares a scale of the activations
// A position is an input column or padding. Groups are laid end to end, each padded to whole blocks, so any g_idx
// (act-order too) is absorbed by the map from positions to columns, which only the activations see. They also see the
// order of positions within a step, which is the checkpoint's: kernels multiply its words as they are (step.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>

namespace gptq {

inline constexpr std::size_t tile_outputs = 16;    ///< of a tile, one for each 32-bit lane of a 64-byte line
inline constexpr std::size_t step_positions = 32;  ///< of a step: b-bit codes of a tile are then b lines
inline constexpr std::size_t largest_block = 128;  ///< positions that share a scale of the activations, at most

/// The whole number of codes that lie in each byte of a word; 3 bits are taken apart into bytes of one code.
[[nodiscard]] constexpr unsigned codes_per_byte(unsigned bits) noexcept { return bits == 3 ? 1 : 8 / bits; }

/// Tiles that hold so many outputs.
[[nodiscard]] constexpr std::size_t tiles_for(std::size_t outputs) noexcept {
    return (outputs + tile_outputs - 1) / tile_outputs;
}

/// One 64-byte line of a tile: a word for each of its outputs.
struct alignas(64) line {
    std::uint32_t word[tile_outputs] = {};  ///< by output
};

/// Where the input columns go. Layers with equal layouts can share their activations: those of the same in_features,
/// g_idx and bits (3 and 8 bits count as the same).
struct column_layout {
    /// The column of a position that has none.
    static constexpr std::uint32_t padding = std::numeric_limits<std::uint32_t>::max();

    std::size_t in_features = 0;         ///< input columns
    std::size_t positions = 0;           ///< in_features and the padding: whole blocks
    std::size_t block = largest_block;   ///< positions per block: 32, 64 or 128
    unsigned codes_per_byte = 1;         ///< of the weights: decides the order of digits within a step
    std::vector<std::uint32_t> columns;  ///< of each position, or `padding`; empty where position i is column i

    /// in_features or more for padding.
    [[nodiscard]] std::size_t column_at(std::size_t position) const noexcept {
        return columns.empty() ? position : columns[position];
    }
    /// Of a row, as the next.
    [[nodiscard]] std::size_t steps() const noexcept { return positions / step_positions; }
    /// What shares a scale of the activations.
    [[nodiscard]] std::size_t blocks() const noexcept { return positions / block; }
    /// 1, 2 or 4.
    [[nodiscard]] std::size_t steps_per_block() const noexcept { return block / step_positions; }

    friend bool operator==(const column_layout&, const column_layout&) = default;
};

inline namespace GPTQ_ISA {
namespace impl {

/// Input columns laid out by group, and which group each block belongs to.
struct grouped_columns {
    column_layout layout;
    std::vector<std::uint32_t> group_of_block;
};

[[nodiscard]] constexpr std::size_t round_up(std::size_t n, std::size_t multiple) noexcept {
    return (n + multiple - 1) / multiple * multiple;
}

[[nodiscard]] inline std::size_t padded_positions(std::span<const std::size_t> group_sizes,
                                                  std::size_t block) noexcept {
    std::size_t positions = 0;
    for (const std::size_t size : group_sizes) positions += round_up(size, block);
    return positions;
}

/// The largest block that pads next to nothing: scales are applied once per block, padding is read and multiplied.
[[nodiscard]] inline std::size_t choose_block(std::span<const std::size_t> group_sizes) noexcept {
    const std::size_t least = padded_positions(group_sizes, step_positions);
    std::size_t block = largest_block;
    while (padded_positions(group_sizes, block) > least + least / 16) block /= 2;
    return block;
}

/// Groups in rising order, the columns of each in rising order, then its padding.
/// @pre  0 <= g_idx[i] < groups
[[nodiscard]] inline grouped_columns group_columns(std::span<const std::int32_t> g_idx, std::size_t groups,
                                                   unsigned bits) {
    if (g_idx.size() >= column_layout::padding)
        detail::fail<shape_error>("linear: in_features is ", g_idx.size(), ", expected less than 2^32 - 1");
    std::vector<std::size_t> size(groups);
    for (const std::int32_t g : g_idx) ++size[static_cast<std::size_t>(g)];

    grouped_columns result;
    column_layout& layout = result.layout;
    layout.in_features = g_idx.size();
    layout.block = choose_block(size);
    layout.codes_per_byte = codes_per_byte(bits);
    layout.positions = padded_positions(size, layout.block);

    std::vector<std::size_t> next(groups);  // position that the next column of a group takes
    for (std::size_t g = 0, position = 0; g < groups; ++g) {
        next[g] = position;
        position += round_up(size[g], layout.block);
        result.group_of_block.resize(position / layout.block, static_cast<std::uint32_t>(g));
    }
    bool natural = layout.positions == g_idx.size();
    layout.columns.resize(layout.positions, column_layout::padding);
    for (std::size_t c = 0; c < g_idx.size(); ++c) {
        const std::size_t position = next[static_cast<std::size_t>(g_idx[c])]++;
        layout.columns[position] = static_cast<std::uint32_t>(c);
        natural = natural && position == c;
    }
    if (natural) layout.columns = {};
    return result;
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
