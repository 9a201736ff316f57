// Matrices turned over at the speed of memory: rows of codes ↔ columns of packed words, and any matrix ↔ its transpose.
// Layouts differ in little else than in which axis runs along memory.
//
// A matrix is walked in tiles that fit the cache: each is read in runs of whole lines, turned there, and written in
// runs of whole lines, past the caches where the result is larger than these. What the next tile reads is asked for
// while this one is worked on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <gptq/core/config.hpp>
#include <gptq/core/endian.hpp>
#include <gptq/core/past_cache.hpp>
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

/// Asks the memory system for part `step` of `Steps` of a block's rows. Rows may begin anywhere in a line: the line of
/// a row's first byte was asked for with what is before it, so what is asked for are the ends of whole lines.
template <std::size_t Steps, class T>
void prefetch(matrix_view<const T> block, std::size_t step) noexcept {
    constexpr std::size_t line = 64 / sizeof(T);
    for (std::size_t r = block.rows * step / Steps; r < block.rows * (step + 1) / Steps; ++r)
        for (std::size_t c = line - 1; c < block.cols; c += line) __builtin_prefetch(block.row_data(r) + c);
}

template <class T>
void copy_rows(matrix_view<const T> from, matrix_view<T> to) noexcept {
    for (std::size_t r = 0; r < from.rows; ++r) std::memcpy(to.row_data(r), from.row_data(r), from.cols * sizeof(T));
}

/// Whether the rows of a matrix, and of its tiles, should be written past the caches, and can be.
template <class T>
[[nodiscard]] bool is_beyond_caches(matrix_view<T> matrix) noexcept {
    return matrix.rows * matrix.cols * sizeof(T) >= beyond_caches &&
           fits_past_cache(matrix.data, matrix.cols * sizeof(T)) &&
           fits_past_cache(matrix.data, static_cast<std::size_t>(matrix.row_stride) * sizeof(T));
}

/// Copies a tile from the cache to the matrix that it is a part of.
template <class T>
void write_rows(matrix_view<const T> from, matrix_view<T> to, bool past_cache) noexcept {
    if (!past_cache) return copy_rows(from, to);
    for (std::size_t r = 0; r < from.rows; ++r)
        copy_past_cache(from.row_data(r), to.row_data(r), from.cols * sizeof(T));
}

/// A matrix at the beginning of a buffer whose rows are Pitch elements apart.
template <std::size_t Pitch, class T>
[[nodiscard]] matrix_view<T> in_buffer(T* buffer, std::size_t rows, std::size_t cols) noexcept {
    return {buffer, rows, cols, static_cast<std::ptrdiff_t>(Pitch), 1};
}

/// to[c·Pitch + r] = from(r, c). A pitch that compilers know, and no inlining, make this faster than transpose.
template <std::size_t Pitch, class T>
[[gnu::noinline]] void turn_into(matrix_view<const T> from, T* to) noexcept {
    const std::size_t rows = from.rows / turn_size * turn_size, cols = from.cols / turn_size * turn_size;
    for (std::size_t r = 0; r < rows; r += turn_size)
        for (std::size_t c = 0; c < cols; c += turn_size)
            turn_block(from.row_data(r) + c, from.row_stride, to + c * Pitch + r, static_cast<std::ptrdiff_t>(Pitch));
    for (std::size_t r = 0; r < from.rows; ++r)
        for (std::size_t c = r < rows ? cols : 0; c < from.cols; ++c)
            std::memcpy(to + c * Pitch + r, from.row_data(r) + c, sizeof(T));
}

/// to = fromᵀ, for matrices that no cache holds.
template <class T>
void transpose_matrix(matrix_view<const T> from, matrix_view<T> to) noexcept {
    constexpr std::size_t height = 64, width = 64;  // of all shapes up to 128 x 128 the fastest
    const bool past_cache = is_beyond_caches(to);
    for_each_tile(from.rows, from.cols, height, width, [=](tile now, tile next) {
        alignas(64) T turned[height * width];
        for (std::size_t r = 0; r < now.rows; r += turn_size) {
            prefetch<height / turn_size>(next.of(from), r / turn_size);
            turn_into<height>(now.of(from).rows_from(r, std::min(turn_size, now.rows - r)), turned + r);
        }
        const tile target{now.col, now.row, now.cols, now.rows};
        write_rows<T>(in_buffer<height>(turned, now.cols, now.rows), target.of(to), past_cache);
    });
    if (past_cache) finish_past_cache();
}

/// How wide codes are while they are turned: 3 bits are given 4, so that a word holds eight whole codes.
template <unsigned Bits>
inline constexpr unsigned turned_bits = Bits == 3 ? 4 : Bits;

/// Rows of words with eight codes of 3 bits each, 4 bits apart: every four become three, without gaps.
/// @pre  `words` has room for whole fours, and `dense` for whole threes
template <std::size_t Pitch>
void close_gaps(std::uint32_t* words, std::size_t rows, std::size_t cols, std::uint32_t* dense) noexcept {
    const auto joined = [](std::uint32_t fields) { return join<12, 16>(join<6, 8>(join<3, 4>(fields))); };
    std::fill(words + rows * Pitch, words + (rows + 3) / 4 * 4 * Pitch, 0U);
    for (std::size_t r = 0; r < rows; r += 4) {
        const std::uint32_t* four = words + r * Pitch;
        std::uint32_t* three = dense + r / 4 * 3 * Pitch;
        for (std::size_t c = 0; c < cols; ++c) {
            const std::uint32_t first = joined(four[c]), second = joined(four[Pitch + c]);
            const std::uint32_t third = joined(four[2 * Pitch + c]), fourth = joined(four[3 * Pitch + c]);
            three[c] = first | second << 24U;
            three[Pitch + c] = second >> 8U | third << 16U;
            three[2 * Pitch + c] = third >> 16U | fourth << 8U;
        }
    }
}

/// The way back.
template <std::size_t Pitch>
void open_gaps(matrix_view<const std::uint32_t> dense, std::uint32_t* words) noexcept {
    static constexpr std::uint32_t none[Pitch] = {};
    const auto row = [&](std::size_t r) { return r < dense.rows ? dense.row_data(r) : none; };
    const auto separated = [](std::uint32_t fields) {
        return separate<3, 4>(separate<6, 8>(separate<12, 16>(fields)));
    };
    for (std::size_t r = 0; r < dense.rows; r += 3) {
        const std::uint32_t *first = row(r), *second = row(r + 1), *third = row(r + 2);
        std::uint32_t* four = words + r / 3 * 4 * Pitch;
        for (std::size_t c = 0; c < dense.cols; ++c) {
            four[c] = separated(first[c]);
            four[Pitch + c] = separated(first[c] >> 24U | second[c] << 8U);
            four[2 * Pitch + c] = separated(second[c] >> 16U | third[c] << 16U);
            four[3 * Pitch + c] = separated(third[c] >> 8U);
        }
    }
}

/// Whether rows of bytes are rows of whole words of their streams, where words may lie.
template <class Byte>
[[nodiscard]] bool are_words(matrix_view<Byte> bytes) noexcept {
    constexpr auto size = sizeof(std::uint32_t);
    return is_little_endian && reinterpret_cast<std::uintptr_t>(bytes.data) % size == 0 &&
           static_cast<std::size_t>(bytes.row_stride) % size == 0 && bytes.cols % size == 0;
}

/// Such rows, for functions that only copy.
template <class Word, class Byte>
[[nodiscard]] matrix_view<Word> as_words(matrix_view<Byte> bytes) noexcept {
    constexpr std::ptrdiff_t size = sizeof(Word);
    return {reinterpret_cast<Word*>(bytes.data), bytes.rows, bytes.cols / sizeof(Word), bytes.row_stride / size, 1};
}

/// The words that a tile of codes becomes, in the matrix whose columns are their streams.
template <unsigned Bits>
[[nodiscard]] constexpr tile words_of(tile codes) noexcept {
    return {codes.col * Bits / 32, codes.row, words_for(codes.cols, Bits), codes.rows};
}

/// The stream of each row of codes [out, in] becomes a column of words [words_for(in, Bits), out].
template <unsigned Bits>
void pack_columns(matrix_view<const std::uint8_t> codes, matrix_view<std::uint32_t> words) noexcept {
    if constexpr (Bits == 8)
        if (are_words(codes)) return transpose_matrix<std::uint32_t>(as_words<const std::uint32_t>(codes), words);
    constexpr unsigned width = turned_bits<Bits>;
    constexpr std::size_t height = 32;  // of 16 … 128 the fastest
    constexpr std::size_t block_words = words_for(block_codes, width);
    const bool past_cache = is_beyond_caches(words);
    for_each_tile(codes.rows, codes.cols, height, block_codes, [=](tile now, tile next) {
        alignas(64) std::uint32_t packed[height * block_words], turned[height * block_words];
        for (std::size_t r = 0; r < now.rows; ++r) {
            prefetch<height>(next.of(codes), r);
            pack_stream<width>(now.of(codes).row_data(r), now.cols, packed + r * block_words);
        }
        const std::size_t rows = words_for(now.cols, width);
        turn_into<height>(in_buffer<block_words, const std::uint32_t>(packed, now.rows, rows), turned);
        if constexpr (Bits == 3) close_gaps<height>(turned, rows, now.rows, packed);
        const auto target = words_of<Bits>(now).of(words);
        write_rows<std::uint32_t>(in_buffer<height>(Bits == 3 ? packed : turned, target.rows, target.cols), target,
                                  past_cache);
    });
    if (past_cache) finish_past_cache();
}

/// Rows of codes that are unpacked at once: runs of 512 bytes in each row of words. Half of that costs a tenth.
inline constexpr std::size_t tile_streams = 128;

/// The way back.
template <unsigned Bits>
void unpack_columns(matrix_view<const std::uint32_t> words, matrix_view<std::uint8_t> codes) noexcept {
    if constexpr (Bits == 8)
        if (are_words(codes)) return transpose_matrix<std::uint32_t>(words, as_words<std::uint32_t>(codes));
    constexpr unsigned width = turned_bits<Bits>;
    constexpr std::size_t block_words = words_for(block_codes, width);
    const bool past_cache = is_beyond_caches(codes);
    for_each_tile(codes.rows, codes.cols, tile_streams, block_codes, [=](tile now, tile next) {
        alignas(64) std::uint32_t streams[tile_streams * block_words];
        const auto source = words_of<Bits>(now).of(words);
        if constexpr (Bits == 3) {
            alignas(64) std::uint32_t wide[tile_streams * block_words];
            open_gaps<tile_streams>(source, wide);
            const std::size_t rows = words_for(now.cols, width);
            turn_into<block_words>(in_buffer<tile_streams, const std::uint32_t>(wide, rows, now.rows), streams);
        } else {
            turn_into<block_words>(source, streams);
        }
        for (std::size_t r = 0; r < now.rows; ++r) {
            alignas(64) std::uint8_t row[block_codes];
            std::uint8_t* place = now.of(codes).row_data(r);
            prefetch<tile_streams>(words_of<Bits>(next).of(words), r);
            unpack_stream<width>(streams + r * block_words, now.cols, past_cache ? row : place);
            if (past_cache) copy_past_cache(row, place, now.cols);
        }
    });
    if (past_cache) finish_past_cache();
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
