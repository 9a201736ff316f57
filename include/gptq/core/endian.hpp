// The order of bytes. Numbers in memory are the machine's own; those in files, in streams of codes and in llama.cpp's
// blocks are little-endian on every machine. They pass from one to the other here alone, and a little-endian machine
// does nothing for it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include <gptq/core/config.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

inline constexpr bool is_little_endian = std::endian::native == std::endian::little;
static_assert(is_little_endian || std::endian::native == std::endian::big, "gptq knows no other order of bytes");

/// The number with its bytes turned over on a big-endian machine: from memory to a file, or back.
template <class T>
requires std::is_trivially_copyable_v<T>
[[nodiscard]] constexpr T little_endian(T number) noexcept {
    if constexpr (is_little_endian || sizeof(T) == 1) {
        return number;
    } else {
        auto bytes = std::bit_cast<std::array<std::byte, sizeof(T)>>(number);
        std::ranges::reverse(bytes);
        return std::bit_cast<T>(bytes);
    }
}

/// The number that a file has at any address.
template <class T>
[[nodiscard]] T load_little_endian(const void* from) noexcept {
    T number;
    std::memcpy(&number, from, sizeof number);
    return little_endian(number);
}

/// Writes a number to any address as a file has it.
template <class T>
void store_little_endian(void* to, T number) noexcept {
    number = little_endian(number);
    std::memcpy(to, &number, sizeof number);
}

/// Turns the bytes of each T over where they lie, on a big-endian machine: from memory to a file, or back.
template <class T>
void turn_if_big_endian([[maybe_unused]] std::span<std::byte> numbers) noexcept {
    if constexpr (!is_little_endian)
        for (std::size_t at = 0; at < numbers.size(); at += sizeof(T))
            std::reverse(numbers.data() + at, numbers.data() + at + sizeof(T));
}

/// Numbers as a file has them.
template <class Numbers>
[[nodiscard]] std::vector<std::byte> little_endian_bytes(const Numbers& numbers) {
    const auto bytes = std::as_bytes(std::span(numbers.data(), numbers.size()));
    std::vector<std::byte> stored(bytes.begin(), bytes.end());
    turn_if_big_endian<typename Numbers::value_type>(stored);
    return stored;
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
