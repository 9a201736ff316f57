// Writing a GGUF file of any size with the memory of one tensor, or of a piece of one: metadata and tensors are
// declared first, then each tensor's bytes go straight to their place. The file appears under its name when the last
// one is in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/io/gguf_header.hpp>
#include <gptq/io/gguf_value.hpp>
#include <gptq/io/placed_file.hpp>
#include <gptq/pack/ggml_type.hpp>

namespace gptq::io {

/// What a file will hold, before its bytes are known.
struct gguf_declaration {
    std::string name;                 ///< at most 63 bytes
    ggml_type type = ggml_type::f32;  ///< of the elements
    std::vector<std::size_t> shape;   ///< row-major: [out, in] for a weight
};

namespace impl {

/// Collects the bytes of a header.
class gguf_text {
public:
    template <class T>
    requires std::is_arithmetic_v<T>
    void put(T value) {
        char bytes[sizeof value];
        gptq::impl::store_little_endian(bytes, value);
        bytes_.append(bytes, sizeof value);
    }
    void put(const std::string& text) {
        put(std::uint64_t{text.size()});
        bytes_ += text;
    }
    template <class T>
    void put(const std::vector<T>& elements) {
        put(std::uint64_t{elements.size()});
        for (const T& element : elements) put(element);
    }
    void put(gguf_no_nesting) {}  // which check_metadata refuses
    template <class... T>
    void put(const std::variant<T...>& value) {
        put(static_cast<std::uint32_t>(value.index()));
        std::visit([&](const auto& alternative) { put(alternative); }, value);
    }
    void put(const gguf_entry& tensor) {
        put(tensor.name);
        put(static_cast<std::uint32_t>(tensor.shape.size()));
        for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) put(std::uint64_t{*size});
        put(static_cast<std::uint32_t>(tensor.type));
        put(std::uint64_t{tensor.begin});
    }

    void append(std::string_view bytes) { bytes_ += bytes; }
    void pad(std::size_t alignment) { bytes_.resize(padded(bytes_.size(), alignment)); }
    [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

private:
    std::string bytes_;
};

inline void check_metadata(const gguf_metadata& metadata, std::string_view path) {
    for (const auto& [key, value] : metadata) {
        if (key.empty() || key.size() > max_key)
            gptq::detail::fail<option_error>(path, ": a key has ", key.size(), " bytes, expected 1 … ", max_key);
        const auto* array = std::get_if<gguf_array>(&value);
        if (array != nullptr && std::holds_alternative<gguf_no_nesting>(*array))
            gptq::detail::fail<option_error>(path, ": key '", key, "' is an array of arrays, which the format lacks");
    }
}

/// Gives every declared tensor its place, in the order of declaration.
inline std::vector<gguf_entry> lay_out(std::span<const gguf_declaration> tensors, std::size_t alignment,
                                       std::string_view path) {
    using gptq::detail::fail;
    std::vector<gguf_entry> entries;
    std::set<std::string_view> names;
    std::size_t end = 0;
    for (const auto& [name, type, shape] : tensors) {
        const std::string what = gptq::detail::text(path, ": tensor '", name, "'");
        if (name.size() > max_tensor_name)
            fail<option_error>(what, " has a name of ", name.size(), " bytes, expected at most ", max_tensor_name);
        if (!names.insert(name).second) fail<option_error>(what, " is declared twice");
        if (shape.empty() || shape.size() > max_axes)
            fail<option_error>(what, " has ", shape.size(), " axes, expected 1 … ", max_axes);
        const auto size = tensor_bytes(type, shape);
        if (!size)
            fail<option_error>(what, ", ", type_text(type, shape),
                               ", is more than memory can address, or its rows are not whole blocks of ",
                               traits(type).elements, " elements");
        if (*size > max_file_bytes - end) fail<option_error>(path, ": the tensors together are too large for a file");
        entries.push_back({name, type, shape, end, *size});
        end = padded(end + *size, alignment);
    }
    return entries;
}

}  // namespace impl

/// A GGUF file that is being written.
class gguf_writer {
public:
    /// Starts the file and writes its header. Tensors lie in the order in which they are declared.
    /// What llama.cpp wants of the metadata is not checked here: general.architecture, and with quantized tensors
    /// general.quantization_version, a u32 of 2, in any case.
    /// @throws option_error  a name twice or longer than 63 bytes; a shape that is not 1 … 4 axes of whole blocks, or
    /// of
    ///                       no addressable number of bytes; a general.alignment that is not a u32 power of two
    /// @throws file_error    the folder is absent or not writable; another process is writing the same file
    gguf_writer(const std::filesystem::path& path, const gguf_metadata& metadata,
                std::span<const gguf_declaration> tensors)
        : file_(started(path, metadata, tensors)) {}

    /// Writes one tensor. In any order, each once.
    /// @param bytes  row-major, little-endian; blocks row after row
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

    /// Syncs the file and gives it its name. Without this nothing remains of it. Call once, last.
    /// @throws option_error  a declared tensor was not written
    void finish() { file_.finish(); }

private:
    [[nodiscard]] static impl::placed_file started(const std::filesystem::path& path, const gguf_metadata& metadata,
                                                   std::span<const gguf_declaration> tensors) {
        impl::check_metadata(metadata, path.string());
        const std::size_t alignment = impl::alignment_of<option_error>(metadata, path.string());
        const auto entries = impl::lay_out(tensors, alignment, path.string());
        impl::gguf_text header;
        header.append(impl::gguf_magic);
        header.put(impl::gguf_version);
        header.put(std::uint64_t{entries.size()});
        header.put(std::uint64_t{metadata.size()});
        for (const auto& [key, value] : metadata) {
            header.put(key);
            header.put(value);
        }
        for (const auto& entry : entries) header.put(entry);
        header.pad(alignment);

        const std::size_t data_begin = header.bytes().size();
        impl::placed_file::places places;
        for (const auto& entry : entries) places[entry.name] = {data_begin + entry.begin, entry.size};
        const std::size_t end =
            entries.empty() ? 0 : impl::padded(entries.back().begin + entries.back().size, alignment);
        return {path, header.bytes(), data_begin + end, std::move(places)};
    }

    impl::placed_file file_;
};

}  // namespace gptq::io
