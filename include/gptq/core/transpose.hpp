// Transposing small pieces of matrices that lie in cache.
#pragma once

#include <cstddef>
#include <cstring>
#include <utility>

#include <gptq/core/config.hpp>
#include <gptq/core/view.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// `Count` numbers in vector registers: g++'s and clang's vector type.
template <class T, std::size_t Count>
struct vector_of {
    using type [[gnu::vector_size(Count * sizeof(T))]] = T;
};

/// Turned over in blocks of 4 x 4: the largest that compilers handle without detours on every instruction set.
/// Four times as fast as element by element.
inline constexpr std::size_t turn_size = 4;

/// Exchanges the halves that lie across the diagonal of every block of 2·Distance.
template <std::size_t Distance, class Vector, std::size_t... I>
void exchange(Vector& a, Vector& b, std::index_sequence<I...>) noexcept {
    constexpr std::size_t count = sizeof...(I);
    const Vector upper = __builtin_shufflevector(a, b, ((I & Distance) == 0 ? I : count + I - Distance)...);
    b = __builtin_shufflevector(a, b, ((I & Distance) == 0 ? I + Distance : count + I)...);
    a = upper;
}

/// to[c·to_pitch + r] = from[r·from_pitch + c] for a block of 4 x 4.
template <class T>
void turn_block(const T* from, std::ptrdiff_t from_pitch, T* to, std::ptrdiff_t to_pitch) noexcept {
    constexpr auto all = std::make_index_sequence<turn_size>{};
    typename vector_of<T, turn_size>::type rows[turn_size];
    for (std::size_t r = 0; r < turn_size; ++r)
        std::memcpy(&rows[r], from + static_cast<std::ptrdiff_t>(r) * from_pitch, sizeof rows[r]);
    exchange<2>(rows[0], rows[2], all);
    exchange<2>(rows[1], rows[3], all);
    exchange<1>(rows[0], rows[1], all);
    exchange<1>(rows[2], rows[3], all);
    for (std::size_t r = 0; r < turn_size; ++r)
        std::memcpy(to + static_cast<std::ptrdiff_t>(r) * to_pitch, &rows[r], sizeof rows[r]);
}

/// to(c, r) = from(r, c). Rows of both are contiguous. Walks along the rows of the matrix whose rows lie further apart:
/// many rows of a large one would compete for the same cache lines.
template <class T>
void transpose(matrix_view<const T> from, matrix_view<T> to) noexcept {
    const std::size_t rows = from.rows / turn_size * turn_size, cols = from.cols / turn_size * turn_size;
    const auto turn = [&](std::size_t r, std::size_t c) {
        turn_block(from.row_data(r) + c, from.row_stride, to.row_data(c) + r, to.row_stride);
    };
    if (from.row_stride >= to.row_stride) {
        for (std::size_t r = 0; r < rows; r += turn_size)
            for (std::size_t c = 0; c < cols; c += turn_size) turn(r, c);
    } else {
        for (std::size_t c = 0; c < cols; c += turn_size)
            for (std::size_t r = 0; r < rows; r += turn_size) turn(r, c);
    }
    for (std::size_t r = 0; r < from.rows; ++r)
        for (std::size_t c = r < rows ? cols : 0; c < from.cols; ++c) to.row_data(c)[r] = from.row_data(r)[c];
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
