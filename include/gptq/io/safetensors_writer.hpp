// Writing a safetensors file of any size with the memory of one tensor, or of a piece of one: what it will hold is
// declared first, then each tensor's bytes go straight to their place. The file appears under its name when the last
// one is in it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/io/partial_file.hpp>
#include <gptq/io/safetensors_header.hpp>

namespace gptq::io {

/// What a file will hold, before its bytes are known.
struct tensor_declaration {
    std::string name;
    dtype type = dtype::F32;
    std::vector<std::size_t> shape;
};

namespace impl {

/// Gives every declared tensor its place: by falling element size, so that each is aligned; within a size, as declared.
inline std::vector<header_entry> lay_out(std::span<const tensor_declaration> tensors, std::string_view path) {
    using gptq::detail::fail;
    std::vector<header_entry> entries;
    std::set<std::string_view> names = {metadata_key};
    for (const auto& [name, type, shape] : tensors) {
        if (!names.insert(name).second)
            fail<option_error>(path, ": tensor '", name, "' is declared twice, or has a name that the format reserves");
        const auto size = byte_count(type, shape);
        if (!size)
            fail<option_error>(path, ": tensor '", name, "', ", io::name(type), " ", shape_text(shape),
                               ", is more than memory can address, or not a whole number of bytes");
        entries.push_back({name, type, shape, 0, *size});
    }
    std::ranges::stable_sort(entries, std::greater{}, [](const header_entry& e) { return bits(e.type); });
    std::size_t end = 0;
    for (header_entry& entry : entries) {
        if (entry.end > max_data_bytes - end)
            fail<option_error>(path, ": the tensors together are too large for a file");
        entry.begin = end;
        end = entry.end += entry.begin;
    }
    return entries;
}

}  // namespace impl

class safetensors_writer {
public:
    /// Starts the file and writes its header, to whose metadata "format": "pt" is added: some loaders refuse a file
    /// without it.
    /// @throws option_error  a name twice, not UTF-8, or reserved; a shape of no whole or addressable number of bytes
    /// @throws file_error    the folder is absent or not writable; another process is writing the same file
    safetensors_writer(const std::filesystem::path& path, std::span<const tensor_declaration> tensors,
                       std::map<std::string, std::string> metadata = {})
        : file_(path) {
        metadata.emplace("format", "pt");
        const auto entries = impl::lay_out(tensors, path.string());
        const std::string header = impl::header_bytes(entries, metadata, path.string());
        for (const auto& entry : entries) missing_[entry.name] = {header.size() + entry.begin, entry.end - entry.begin};
        file_.resize(header.size() + (entries.empty() ? 0 : entries.back().end));
        file_.write_at(0, std::as_bytes(std::span(header)));
    }

    /// Writes one tensor. In any order, each once.
    /// @param bytes  row-major, little-endian
    /// @throws option_error  not declared, or written before
    /// @throws shape_error   not as many bytes as declared
    void write(std::string_view name, std::span<const std::byte> bytes) {
        const auto found = unfinished(name);
        gptq::detail::expect_equal(describe(name), "number of bytes", found->second.size, bytes.size());
        write_to(found, bytes);
    }

    /// Writes the next bytes of a tensor, for one that is not in memory as a whole.
    /// @throws option_error  not declared, or all of it is written
    /// @throws shape_error   more bytes than are left of it
    void append(std::string_view name, std::span<const std::byte> bytes) {
        const auto found = unfinished(name);
        if (const std::size_t left = found->second.size; bytes.size() > left)
            gptq::detail::fail<shape_error>(describe(name), ": ", bytes.size(), " more bytes, of which it has ", left,
                                            " left");
        write_to(found, bytes);
    }

    /// Syncs the file and gives it its name. Without this nothing remains of it. Call once, last.
    /// @throws option_error  a declared tensor was not written
    void finish() {
        if (!missing_.empty())
            gptq::detail::fail<option_error>(file_.path().string(), ": ", missing_.size(),
                                             " of the declared tensors were not written, such as '",
                                             missing_.begin()->first, "'");
        file_.commit();
    }

private:
    /// What is left of a tensor.
    struct place {
        std::size_t begin;  ///< from the start of the file
        std::size_t size;
    };
    using places = std::map<std::string, place, std::less<>>;

    [[nodiscard]] std::string describe(std::string_view name) const {
        return gptq::detail::text(file_.path().string(), ": tensor '", name, "'");
    }

    [[nodiscard]] places::iterator unfinished(std::string_view name) {
        const auto found = missing_.find(name);
        if (found == missing_.end())
            gptq::detail::fail<option_error>(describe(name), " was not declared, or is written for the second time");
        return found;
    }

    void write_to(places::iterator found, std::span<const std::byte> bytes) {
        auto& [begin, size] = found->second;
        file_.write_at(begin, bytes);
        begin += bytes.size();
        size -= bytes.size();
        if (size == 0) missing_.erase(found);
    }

    partial_file file_;
    places missing_;
};

}  // namespace gptq::io
