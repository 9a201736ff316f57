// The element types of safetensors files: their names, their sizes, and how many bytes a shape of them takes.
// Only names and sizes; what converts to float is in floats.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace gptq::io {

/// The element types of the format, by the names that files give them.
enum class dtype {
    BOOL,
    F4,
    F6_E2M3,
    F6_E3M2,
    U8,
    I8,
    F8_E5M2,
    F8_E4M3,
    F8_E8M0,
    F8_E4M3FNUZ,
    F8_E5M2FNUZ,
    I16,
    U16,
    F16,
    BF16,
    I32,
    U32,
    F32,
    C64,
    F64,
    I64,
    U64,
};

/// What files must agree on about an element type.
struct dtype_traits {
    std::string_view name;  ///< as files spell it
    unsigned bits;          ///< of one element
};

/// In the order of the enumerators.
inline constexpr std::array<dtype_traits, 22> dtypes{{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};

/// "BF16", as files and messages have it.
[[nodiscard]] constexpr std::string_view name(dtype type) noexcept {
    return dtypes[static_cast<std::size_t>(type)].name;
}

/// Of one element.
[[nodiscard]] constexpr unsigned bits(dtype type) noexcept { return dtypes[static_cast<std::size_t>(type)].bits; }

/// The type that a file calls `name`; nothing when there is none.
[[nodiscard]] constexpr std::optional<dtype> dtype_named(std::string_view name) noexcept {
    for (std::size_t i = 0; i < dtypes.size(); ++i)
        if (dtypes[i].name == name) return static_cast<dtype>(i);
    return std::nullopt;
}

/// Bytes of a tensor; nothing when memory cannot address them, or when elements smaller than a byte do not fill the
/// last one. An axis of 0 makes the tensor empty, but the other axes must still have an addressable product.
[[nodiscard]] constexpr std::optional<std::size_t> byte_count(dtype type, std::span<const std::size_t> shape) noexcept {
    constexpr std::size_t most = std::numeric_limits<std::ptrdiff_t>::max();
    std::size_t bit_count = bits(type);
    bool empty = false;
    for (const std::size_t axis : shape) {
        empty = empty || axis == 0;
        if (axis > 1 && bit_count > most / axis) return std::nullopt;
        bit_count *= axis > 1 ? axis : 1;
    }
    if (empty) return 0;
    if (bit_count % 8 != 0) return std::nullopt;
    return bit_count / 8;
}

/// "[2, 3]", for messages.
[[nodiscard]] inline std::string shape_text(std::span<const std::size_t> shape) {
    std::string out = "[";
    for (const std::size_t axis : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(axis);
    return out + "]";
}

}  // namespace gptq::io
