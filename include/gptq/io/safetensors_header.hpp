// The header of a safetensors file: 8 bytes of length, JSON, then the tensors without a gap. Reading and writing it.
// Reading trusts nothing: lengths are compared with the file's own before anything is used or allocated.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/json.hpp>

namespace gptq::io::impl {

inline constexpr std::uint64_t max_header_bytes = 100'000'000;                                 // the format's own limit
inline constexpr std::size_t max_data_bytes = std::numeric_limits<std::ptrdiff_t>::max() / 2;  // and room for a header
inline constexpr std::string_view metadata_key = "__metadata__";
/// Where the data of a file that we write begin, and what the length before its header takes.
inline constexpr std::size_t data_alignment = 64, length_bytes = 8;

/// One tensor of a header. Offsets count from the first byte after the header.
struct header_entry {
    std::string name;
    dtype type;
    std::vector<std::size_t> shape;
    std::size_t begin;
    std::size_t end;
};

struct safetensors_header {
    std::vector<header_entry> tensors;  ///< in the order of their bytes
    std::map<std::string, std::string> metadata;
    std::size_t data_begin;  ///< where offsets count from
};

/// The JSON text of a file, after the checks of its length.
inline std::string_view header_text(std::span<const std::byte> file, std::string_view path) {
    using gptq::detail::fail;
    if (file.size() < length_bytes)
        fail<format_error>(path, ": is ", file.size(),
                           " bytes, expected at least 8, the length of a safetensors header");
    const auto length = gptq::impl::load_little_endian<std::uint64_t>(file.data());
    if (length > max_header_bytes)
        fail<format_error>(path, ": header length at byte 0 is ", length, ", expected at most ", max_header_bytes,
                           "; not a safetensors file?");
    if (length > file.size() - length_bytes)
        fail<format_error>(path, ": header length at byte 0 is ", length, ", but only ", file.size() - length_bytes,
                           " bytes follow; the file is truncated");
    const std::string_view text(reinterpret_cast<const char*>(file.data()) + length_bytes,
                                static_cast<std::size_t>(length));
    if (!text.starts_with('{'))
        fail<format_error>(path, ": byte 8 is not '{', where the header begins; not a safetensors file?");
    return text;
}

inline std::map<std::string, std::string> read_metadata(const json& value, std::string_view path) {
    std::map<std::string, std::string> metadata;
    for (const auto& [key, text] : as_object(value, path, metadata_key))
        metadata[key] = as_string(text, path, gptq::detail::text(metadata_key, " '", key, "'"));
    return metadata;
}

/// @param where  "file: tensor 'name'"
inline const json& required(const json::object_t& object, const char* key, std::string_view where) {
    const auto found = object.find(key);
    if (found == object.end()) gptq::detail::fail<format_error>(where, ": has no ", key);
    return found->second;
}

inline std::vector<std::size_t> read_sizes(const json& value, std::string_view where, std::string_view what) {
    if (!value.is_array()) fail_value(where, what, value, "an array of whole numbers");
    std::vector<std::size_t> sizes;
    for (const json& size : value) sizes.push_back(as_size(size, where, what));
    return sizes;
}

/// One tensor, all but its place among the others checked.
inline header_entry read_entry(const std::string& name, const json& value, std::size_t data_size,
                               std::string_view path) {
    using gptq::detail::fail;
    const std::string where = gptq::detail::text(path, ": tensor '", name, "'");
    const auto& fields = as_object(value, where, "its description");
    const std::string& type_name = as_string(required(fields, "dtype", where), where, "dtype");
    const auto type = dtype_named(type_name);
    if (!type) fail_value(where, "dtype", required(fields, "dtype", where), "one of the safetensors format");
    auto shape = read_sizes(required(fields, "shape", where), where, "shape");
    const auto offsets = read_sizes(required(fields, "data_offsets", where), where, "data_offsets");
    if (offsets.size() != 2) fail<format_error>(where, ": data_offsets has ", offsets.size(), " numbers, expected 2");
    const std::size_t begin = offsets[0], end = offsets[1];
    if (begin > end) fail<format_error>(where, ": begins at ", begin, ", after its end at ", end);
    if (end > data_size)
        fail<format_error>(where, ": ends at ", end, ", but the file has ", data_size, " bytes of data; truncated?");
    const auto expected = byte_count(*type, shape);
    if (!expected)
        fail<format_error>(where, ": ", type_name, " ", shape_text(shape),
                           " is more than memory can address, or not a whole number of bytes");
    if (*expected != end - begin)
        fail<format_error>(where, ": has ", end - begin, " bytes, expected ", *expected, " for ", type_name, " ",
                           shape_text(shape));
    return {name, *type, std::move(shape), begin, end};
}

/// Each tensor must begin where the one before it ends, and the last end with the file.
inline void expect_no_gaps(std::span<const header_entry> in_order, std::size_t data_size, std::string_view path) {
    using gptq::detail::fail;
    std::size_t end = 0;
    for (const header_entry& entry : in_order) {
        if (entry.begin != end)
            fail<format_error>(
                path, ": tensor '", entry.name, "' begins at ", entry.begin, ", expected ", end,
                entry.begin < end ? ": it overlaps the one before it" : ": bytes of no tensor lie before it");
        end = entry.end;
    }
    if (end != data_size)
        fail<format_error>(path, ": the last tensor ends at ", end, ", but the file has ", data_size, " bytes of data");
}

/// @param file  the whole file
/// @throws format_error  the first thing that is not as the format wants it
[[nodiscard]] inline safetensors_header parse_header(std::span<const std::byte> file, std::string_view path) {
    const std::string_view text = header_text(file, path);
    safetensors_header header{{}, {}, length_bytes + text.size()};
    const std::size_t data_size = file.size() - header.data_begin;
    for_each_member(text, gptq::detail::text(path, ": header"), [&](const std::string& key, const json& value) {
        if (key == metadata_key)
            header.metadata = read_metadata(value, path);
        else
            header.tensors.push_back(read_entry(key, value, data_size, path));
    });
    std::ranges::sort(header.tensors, {}, [](const header_entry& e) { return std::tuple(e.begin, e.end); });
    expect_no_gaps(header.tensors, data_size, path);
    return header;
}

/// @throws option_error  a text that is not UTF-8
[[nodiscard]] inline std::string json_text(const json& value, std::string_view path) {
    try {
        return value.dump();
    } catch (const json::exception&) {
        gptq::detail::fail<option_error>(path, ": a tensor name or a metadata text is not UTF-8");
    }
}

/// What a header says of one tensor.
/// @throws option_error  its name is not UTF-8
[[nodiscard]] inline std::string entry_text(const header_entry& entry, std::string_view path) {
    return "," + json_text(entry.name, path) + ":{\"dtype\":" + json(name(entry.type)).dump() +
           ",\"shape\":" + json(entry.shape).dump() + ",\"data_offsets\":" + json{entry.begin, entry.end}.dump() + "}";
}

/// The first bytes of a file: length and JSON, padded with spaces so that the data begin at a multiple of 64, a cache
/// line: kernels may run on what is mapped. To the metadata "format": "pt" is added: some loaders refuse a file without
/// it.
/// @throws option_error  a name or metadata that is not UTF-8; more header than the format allows
[[nodiscard]] inline std::string header_bytes(std::span<const header_entry> tensors,
                                              std::map<std::string, std::string> metadata, std::string_view path) {
    metadata.emplace("format", "pt");
    std::string text = "{" + json(metadata_key).dump() + ":" + json_text(metadata, path);
    for (const header_entry& entry : tensors) text += entry_text(entry, path);
    text += "}";
    text.resize((length_bytes + text.size() + data_alignment - 1) / data_alignment * data_alignment - length_bytes,
                ' ');
    const std::uint64_t length = text.size();
    if (length > max_header_bytes)
        gptq::detail::fail<option_error>(path, ": the header takes ", length, " bytes, of which the format allows ",
                                         max_header_bytes);
    std::string bytes(length_bytes, '\0');
    gptq::impl::store_little_endian(bytes.data(), length);
    return bytes + text;
}

}  // namespace gptq::io::impl
