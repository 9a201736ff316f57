// Matrices turned over at the speed of memory: rows of codes ↔ columns of packed words, and any matrix ↔ its transpose.
// Layouts differ in little else than in which axis runs along memory.
//
// A matrix is walked in tiles that fit the cache: each is read in runs of whole lines, turned there, and written in
// runs of whole lines. What the next tile reads and this one writes is asked for while this one is worked on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <gptq/core/config.hpp>
#include <gptq/core/transpose.hpp>
#include <gptq/core/view.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/stream.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// A part of a matrix.
struct tile {
    std::size_t row, col, rows, cols;

    template <class T>
    [[nodiscard]] matrix_view<T> of(matrix_view<T> matrix) const noexcept {
        return matrix.block(row, col, rows, cols);
    }
};

/// Calls f(tile, next tile) for all tiles of a matrix, row after row of them. After the last comes an empty one.
template <class F>
void for_each_tile(std::size_t rows, std::size_t cols, std::size_t height, std::size_t width, F&& f) {
    const auto tile_at = [=](std::size_t row, std::size_t col) {
        return row < rows ? tile{row, col, std::min(height, rows - row), std::min(width, cols - col)} : tile{};
    };
    for (std::size_t row = 0; row < rows; row += height)
        for (std::size_t col = 0; col < cols; col += width)
            f(tile_at(row, col), col + width < cols ? tile_at(row, col + width) : tile_at(row + height, 0));
}

enum class access { read, write };

/// Asks the memory system for part `step` of `Steps` of a block's rows.
template <access To, std::size_t Steps, class T>
void prefetch(matrix_view<T> block, std::size_t step) noexcept {
    constexpr std::size_t line = 64 / sizeof(T);
    for (std::size_t r = block.rows * step / Steps; r < block.rows * (step + 1) / Steps; ++r)
        for (std::size_t c = 0; c < block.cols; c += line)
            __builtin_prefetch(block.row_data(r) + c, To == access::write);
}

template <class T>
void copy_rows(matrix_view<const T> from, matrix_view<T> to) noexcept {
    for (std::size_t r = 0; r < from.rows; ++r) std::memcpy(to.row_data(r), from.row_data(r), from.cols * sizeof(T));
}

/// Rows of codes in a tile, and so columns of words: runs of 512 bytes in each row of words. Half of that costs a
/// tenth.
inline constexpr std::size_t tile_streams = 128;

/// The words that a tile of codes becomes, in the matrix whose columns are their streams.
template <unsigned Bits>
[[nodiscard]] constexpr tile words_of(tile codes) noexcept {
    return {codes.col * Bits / 32, codes.row, words_for(codes.cols, Bits), codes.rows};
}

/// The stream of each row of codes [out, in] becomes a column of words [words_for(in, Bits), out].
template <unsigned Bits>
void pack_columns(matrix_view<const std::uint8_t> codes, matrix_view<std::uint32_t> words) noexcept {
    for_each_tile(codes.rows, codes.cols, tile_streams, block_codes, [=](tile now, tile next) {
        alignas(64) std::uint32_t packed[tile_streams * 8 * Bits], turned[tile_streams * 8 * Bits];
        const tile target = words_of<Bits>(now);
        const auto streams = view_of(packed, now.rows, target.rows), columns = view_of(turned, target.rows, now.rows);
        for (std::size_t r = 0; r < now.rows; ++r) {
            prefetch<access::read, tile_streams>(next.of(codes), r);
            prefetch<access::write, tile_streams>(target.of(words), r);
            pack_stream<Bits>(now.of(codes).row_data(r), now.cols, streams.row_data(r));
        }
        transpose<std::uint32_t>(streams, columns);
        copy_rows<std::uint32_t>(columns, target.of(words));
    });
}

/// The way back.
template <unsigned Bits>
void unpack_columns(matrix_view<const std::uint32_t> words, matrix_view<std::uint8_t> codes) noexcept {
    for_each_tile(codes.rows, codes.cols, tile_streams, block_codes, [=](tile now, tile next) {
        alignas(64) std::uint32_t packed[tile_streams * 8 * Bits], turned[tile_streams * 8 * Bits];
        const tile source = words_of<Bits>(now);
        const auto streams = view_of(packed, now.rows, source.rows), columns = view_of(turned, source.rows, now.rows);
        copy_rows<std::uint32_t>(source.of(words), columns);
        transpose<std::uint32_t>(columns, streams);
        for (std::size_t r = 0; r < now.rows; ++r) {
            prefetch<access::read, tile_streams>(words_of<Bits>(next).of(words), r);
            unpack_stream<Bits>(streams.row_data(r), now.cols, now.of(codes).row_data(r));
        }
    });
}

/// to = fromᵀ, for matrices that no cache holds.
template <class T>
void transpose_matrix(matrix_view<const T> from, matrix_view<T> to) noexcept {
    constexpr std::size_t height = 64, width = 128;  // of all shapes up to 128 x 128 the fastest
    for_each_tile(from.rows, from.cols, height, width, [=](tile now, tile next) {
        alignas(64) T read[height * width], turned[height * width];
        const tile target{now.col, now.row, now.cols, now.rows};
        const auto rows = view_of(read, now.rows, now.cols), columns = view_of(turned, now.cols, now.rows);
        copy_rows<T>(now.of(from), rows);
        for (std::size_t r = 0; r < now.rows; r += turn_size) {
            const std::size_t strip = std::min(turn_size, now.rows - r);
            prefetch<access::read, height / turn_size>(next.of(from), r / turn_size);
            transpose<T>(rows.rows_from(r, strip), columns.block(0, r, now.cols, strip));
        }
        copy_rows<T>(columns, target.of(to));
    });
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
