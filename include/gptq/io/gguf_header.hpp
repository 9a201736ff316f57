// What a GGUF file holds before the tensors' bytes, and the sizes that follow from it. gguf_parse.hpp reads such a
// header, gguf_writer.hpp writes one.
//
//     "GGUF" | u32 version | u64 tensors | u64 pairs | pairs: string key, u32 type, value
//            | tensors: string name, u32 axes, u64 sizes (last axis first), u32 type, u64 offset | padding | data
//
// A string is a u64 length and bytes. Offsets count from the data; each tensor begins where the one before it ends,
// rounded up to the alignment. Versions 2 and 3 differ in nothing that a little-endian file shows.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/gguf_value.hpp>
#include <gptq/pack/ggml_type.hpp>

namespace gptq::io::impl {

inline constexpr std::string_view gguf_magic = "GGUF";
inline constexpr std::uint32_t gguf_version = 3;
inline constexpr std::string_view alignment_key = "general.alignment";
inline constexpr std::size_t max_axes = 4;
inline constexpr std::size_t max_tensor_name = 63;  // llama.cpp keeps 64 bytes, of which one ends the name
inline constexpr std::size_t max_key = 65535;
inline constexpr std::size_t max_file_bytes = std::numeric_limits<std::ptrdiff_t>::max() / 2;  // and room for a header

/// One tensor of a header. Offsets count from the first byte of data.
struct gguf_entry {
    std::string name;
    ggml_type type;
    std::vector<std::size_t> shape;  ///< row-major: elements along the last axis lie together
    std::size_t begin;
    std::size_t size;
};

struct gguf_header {
    std::uint32_t version;
    gguf_metadata metadata;
    std::vector<gguf_entry> tensors;  ///< in the order of their bytes
    std::size_t data_begin;           ///< where offsets count from
};

/// n rounded up to a multiple of a power of two.
[[nodiscard]] constexpr std::size_t padded(std::size_t n, std::size_t alignment) noexcept {
    return (n + alignment - 1) & ~(alignment - 1);
}

/// What tensors are padded to: general.alignment, or 32.
/// @throws Error  it is not a power of two, or not a u32
template <class Error>
[[nodiscard]] std::size_t alignment_of(const gguf_metadata& metadata, std::string_view path) {
    const auto found = metadata.find(alignment_key);
    if (found == metadata.end()) return 32;
    const auto* value = std::get_if<std::uint32_t>(&found->second);
    if (value == nullptr)
        gptq::detail::fail<Error>(path, ": key '", alignment_key, "' is of type ", type_name(found->second),
                                  ", expected u32");
    if (!std::has_single_bit(*value))
        gptq::detail::fail<Error>(path, ": key '", alignment_key, "' is ", *value, ", expected a power of two");
    return *value;
}

/// Bytes of a tensor; nothing when no file can hold them, or when rows are not whole blocks. An axis of 0 makes the
/// tensor empty, but the other axes must still have a product.
[[nodiscard]] constexpr std::optional<std::size_t> tensor_bytes(ggml_type type,
                                                                std::span<const std::size_t> shape) noexcept {
    std::size_t bytes = traits(type).bytes, elements = traits(type).elements;
    bool empty = false;
    for (std::size_t i = shape.size(); i-- > 0;) {
        if (shape[i] % elements != 0) return std::nullopt;
        const std::size_t factor = shape[i] / elements;
        empty = empty || factor == 0;
        if (factor > 1 && bytes > max_file_bytes / factor) return std::nullopt;
        bytes *= factor > 1 ? factor : 1;
        elements = 1;  // blocks lie along the last axis
    }
    if (elements > 1) return std::nullopt;  // a scalar is no block
    return empty ? 0 : bytes;
}

/// "Q4_0 [2, 32]", for messages.
[[nodiscard]] inline std::string type_text(ggml_type type, std::span<const std::size_t> shape) {
    return gptq::detail::text(name(type), " ", shape_text(shape));
}

}  // namespace gptq::io::impl
