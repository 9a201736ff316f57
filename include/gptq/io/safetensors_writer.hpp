// Writing a safetensors file of any size with the memory of one tensor, or of a piece of one: what it will hold is
// declared first, then each tensor's bytes go straight to their place. The file appears under its name when the last
// one is in it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/placed_file.hpp>
#include <gptq/io/safetensors_header.hpp>

namespace gptq::io {

/// What a file will hold, before its bytes are known.
struct tensor_declaration {
    std::string name;                ///< UTF-8
    dtype type = dtype::F32;         ///< of the elements
    std::vector<std::size_t> shape;  ///< row-major; empty for a scalar
};

namespace impl {

/// The declared tensors, each as if it were the only one of its file.
inline std::vector<header_entry> measured(std::span<const tensor_declaration> tensors, std::string_view path) {
    using gptq::detail::fail;
    std::vector<header_entry> entries;
    std::set<std::string_view> names = {metadata_key};
    std::size_t together = 0;
    for (const auto& [name, type, shape] : tensors) {
        if (!names.insert(name).second)
            fail<option_error>(path, ": tensor '", name, "' is declared twice, or has a name that the format reserves");
        const auto size = byte_count(type, shape);
        if (!size)
            fail<option_error>(path, ": tensor '", name, "', ", io::name(type), " ", shape_text(shape),
                               ", is more than memory can address, or not a whole number of bytes");
        if (*size > max_data_bytes - together)
            fail<option_error>(path, ": the tensors together are too large for a file");
        together += *size;
        entries.push_back({name, type, shape, 0, *size});
    }
    return entries;
}

/// Gives every declared tensor its place: by falling element size, so that each is aligned; within a size, as declared.
inline std::vector<header_entry> lay_out(std::span<const tensor_declaration> tensors, std::string_view path) {
    auto entries = measured(tensors, path);
    std::ranges::stable_sort(entries, std::greater{}, [](const header_entry& e) { return bits(e.type); });
    std::size_t end = 0;
    for (header_entry& entry : entries) {
        entry.begin = end;
        end = entry.end += entry.begin;
    }
    return entries;
}

}  // namespace impl

/// A safetensors file that is being written.
class safetensors_writer {
public:
    /// Starts the file and writes its header, to whose metadata "format": "pt" is added where they do not say it.
    /// @throws option_error  a name twice, not UTF-8, or reserved; a shape of no whole or addressable number of bytes
    /// @throws file_error    the folder is absent or not writable; another process is writing the same file
    safetensors_writer(const std::filesystem::path& path, std::span<const tensor_declaration> tensors,
                       const std::map<std::string, std::string>& metadata = {})
        : file_(started(path, tensors, metadata)) {}

    /// Writes one tensor. In any order, each once.
    /// @param bytes  row-major, little-endian
    /// @throws option_error  not declared, or written before
    /// @throws shape_error   not as many bytes as declared
    void write(std::string_view name, std::span<const std::byte> bytes) { file_.write(name, bytes); }

    /// Writes the next bytes of a tensor, for one that is not in memory as a whole.
    /// @throws option_error  not declared, or all of it is written
    /// @throws shape_error   more bytes than are left of it
    void append(std::string_view name, std::span<const std::byte> bytes) { file_.append(name, bytes); }

    /// The same for so many bytes of 0, which take no time, and no disk where the file system knows holes.
    /// @throws as append
    void append_zeros(std::string_view name, std::size_t count) { file_.append_zeros(name, count); }

    /// Whether all declared tensors are written.
    [[nodiscard]] bool is_complete() const noexcept { return file_.is_complete(); }

    /// Syncs the file and gives it its name. Without this nothing remains of it. Call once, last.
    /// @throws option_error  a declared tensor was not written
    void finish() { file_.finish(); }

private:
    [[nodiscard]] static impl::placed_file started(const std::filesystem::path& path,
                                                   std::span<const tensor_declaration> tensors,
                                                   const std::map<std::string, std::string>& metadata) {
        const auto entries = impl::lay_out(tensors, path.string());
        const std::string header = impl::header_bytes(entries, metadata, path.string());
        impl::placed_file::places places;
        for (const auto& entry : entries) places[entry.name] = {header.size() + entry.begin, entry.end - entry.begin};
        const std::size_t data_size = entries.empty() ? 0 : entries.back().end;
        return {path, header, header.size() + data_size, std::move(places)};
    }

    impl::placed_file file_;
};

}  // namespace gptq::io
