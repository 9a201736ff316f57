// From a checkpoint's words to a tile's lines. A checkpoint's rows run along all outputs, a tile holds sixteen of them:
// first its strip of each row is copied together, several tiles' at a time, then codes move within the strip, which is
// in cache.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/past_cache.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/kernels/isa.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/kernels/step.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// Tiles whose strips are read together: rows are read in runs of 512 bytes.
inline constexpr std::size_t strips_at_once = 8;

/// Copies the words of tiles first … first + count - 1: strips [count][rows], 0 for outputs that the layer lacks.
inline void copy_strips(const packed_linear& p, std::size_t first, std::size_t count, line* strips) noexcept {
    const std::size_t rows = words_for(p.in_features, p.bits), outputs = p.out_features - first * tile_outputs;
    for (std::size_t r = 0; r < rows; ++r) {
        const std::uint32_t* row = p.qweight.data() + r * p.out_features + first * tile_outputs;
        for (std::size_t t = 0; t < count; ++t) {
            std::uint32_t* to = strips[t * rows + r].word;
            const std::size_t there = std::min(tile_outputs, outputs - t * tile_outputs);
            if (there == tile_outputs)
                std::copy_n(row + t * tile_outputs, tile_outputs, to);
            else
                std::fill(std::copy_n(row + t * tile_outputs, there, to), to + tile_outputs, 0U);
        }
    }
}

/// Copies lines; past the caches if so many are to come that the first are in none any more when they are read.
inline void copy_lines(const line* from, std::size_t count, line* to, bool past_caches) noexcept {
    if (past_caches)
        copy_past_cache(from, to, count * sizeof(line));
    else
        std::copy_n(from, count, to);
}

/// Ors the codes of one column into byte `Byte` of a field.
template <int Bits, int Byte>
[[gnu::always_inline]] inline void or_column(const line* strip, std::size_t column,
                                             std::uint32_t (&field)[tile_outputs]) noexcept {
    constexpr std::uint32_t mask = (1U << Bits) - 1U;
    const line& row = strip[column * Bits / 32];
    const auto shift = static_cast<unsigned>(column * Bits % 32);
    for (std::size_t lane = 0; lane < tile_outputs; ++lane) field[lane] |= (row.word[lane] >> shift & mask) << 8 * Byte;
    if (Bits == 3 && shift > 32 - Bits)
        for (std::size_t lane = 0; lane < tile_outputs; ++lane)
            field[lane] |= ((&row)[1].word[lane] << (32 - shift) & mask) << 8 * Byte;
}

/// Field `Field` of the step that starts at `position`, whatever columns its positions are.
template <int Bits, int Field>
void place_field(const line* strip, const column_layout& layout, std::size_t position, line* step) noexcept {
    std::uint32_t field[tile_outputs] = {};
    unrolled<4>([&](auto byte) {
        const std::size_t column = layout.column_at(position + position_of(codes_per_byte(Bits), Field, byte));
        if (column < layout.in_features) or_column<Bits, byte>(strip, column, field);
    });
    put_field<Bits, Field>(field, step);
}

/// The step of a 3-bit checkpoint, spread.
inline void spread_step(const checkpoint_step& from, line* step) noexcept {
    std::fill_n(step, 3, line{});
    unrolled<fields_per_step>([&](auto field) {
        put_field<3, field>(std::bit_cast<line>(codes_of<isa::native, 3, field, 0>(from)).word, step);
    });
}

/// A step whose positions are columns in any order.
template <int Bits>
void gather_step(const line* strip, const column_layout& layout, std::size_t position, line* step) noexcept {
    std::fill_n(step, Bits, line{});
    unrolled<fields_per_step>([&](auto field) { place_field<Bits, field>(strip, layout, position, step); });
}

/// One tile from its strip.
/// @param lines  [steps][Bits]
template <int Bits>
void place_tile(const line* strip, const column_layout& layout, line* lines, bool past_caches = false) noexcept {
    const bool in_order = layout.columns.empty();
    if (in_order && Bits != 3) return copy_lines(strip, layout.steps() * Bits, lines, past_caches);
    for (std::size_t s = 0; s < layout.steps(); ++s) {
        line step[Bits];
        if (!in_order) gather_step<Bits>(strip, layout, s * step_positions, step);
        if constexpr (Bits == 3)
            if (in_order) spread_step({strip[s * Bits].word, tile_outputs, 0}, step);
        copy_lines(step, Bits, lines + s * Bits, past_caches);
    }
}

/// All tiles from `first` on.
template <int Bits>
void place_codes(const packed_linear& p, const column_layout& layout, std::size_t first, line* lines) {
    const std::size_t rows = words_for(p.in_features, p.bits), tiles = tiles_for(p.out_features);
    const bool past_caches = (tiles - first) * layout.steps() * Bits * sizeof(line) >= beyond_caches;
    std::vector<line> strips(std::min(strips_at_once, tiles - first) * rows);
    for (; first < tiles; first += strips_at_once) {
        const std::size_t count = std::min(strips_at_once, tiles - first);
        copy_strips(p, first, count, strips.data());
        for (std::size_t t = 0; t < count; ++t, lines += layout.steps() * Bits)
            place_tile<Bits>(strips.data() + t * rows, layout, lines, past_caches);
    }
    finish_past_cache();
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
