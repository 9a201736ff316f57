// Reading a GGUF file, llama.cpp's format: mapped, checked from end to end when it is opened, and then metadata and a
// table of tensors. gguf_writer.hpp writes them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gguf_header.hpp>
#include <gptq/io/gguf_parse.hpp>
#include <gptq/io/gguf_value.hpp>
#include <gptq/io/mapped_file.hpp>
#include <gptq/pack/ggml_dequantize.hpp>
#include <gptq/pack/ggml_type.hpp>

namespace gptq::io {

/// A tensor in a file. Keeps the file mapped for as long as it lives.
struct gguf_tensor {
    std::string name;                         ///< "blk.0.attn_q.weight"
    ggml_type type = ggml_type::f32;          ///< of the elements
    std::vector<std::size_t> shape;           ///< row-major, as everywhere here: the reverse of what files call ne
    std::span<const std::byte> bytes;         ///< as many as type and shape say; quantized rows are whole blocks
    std::shared_ptr<const mapped_file> file;  ///< where the bytes lie; nullptr in memory of the caller's
};

/// "model.gguf: tensor 'output.weight'", how messages about a tensor begin.
[[nodiscard]] inline std::string describe(const gguf_tensor& tensor) {
    return gptq::detail::text(tensor.file ? tensor.file->path().string() + ": " : "", "tensor '", tensor.name, "'");
}

/// Weights, not blocks.
[[nodiscard]] inline std::size_t element_count(const gguf_tensor& tensor) noexcept {
    return tensor.bytes.size() / traits(tensor.type).bytes * traits(tensor.type).elements;
}

/// One GGUF file: its metadata, and its tensors where they lie.
class gguf {
public:
    /// Maps a file and checks its header: after this every tensor's bytes are there, and as many as its shape says.
    /// Versions 2 and 3, little-endian.
    /// @throws file_error    the file cannot be opened
    /// @throws format_error  file, key or tensor, byte, expected and found
    [[nodiscard]] static gguf open(const std::filesystem::path& path) {
        const auto file = std::make_shared<const mapped_file>(path);
        return {file->bytes(), path, file};
    }

    /// The same for a file in memory, which must outlive what is returned, and its tensors.
    /// @param path  what errors call it
    /// @throws format_error  as open
    [[nodiscard]] static gguf over(std::span<const std::byte> bytes, const std::filesystem::path& path = "memory") {
        return {bytes, path, nullptr};
    }

    /// As it was opened, or what errors call it.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// Of the format: 2 or 3.
    [[nodiscard]] std::uint32_t version() const noexcept { return version_; }

    /// All of them, in the order of their names.
    [[nodiscard]] std::span<const gguf_tensor> tensors() const noexcept { return tensors_; }
    /// Whether a tensor has this name.
    [[nodiscard]] bool contains(std::string_view name) const noexcept { return find_tensor(name) != nullptr; }
    /// @throws format_error  no such tensor
    [[nodiscard]] const gguf_tensor& at(std::string_view name) const {
        const gguf_tensor* tensor = find_tensor(name);
        if (tensor == nullptr) gptq::detail::fail<format_error>(path_.string(), ": has no tensor '", name, "'");
        return *tensor;
    }

    /// All keys and values.
    [[nodiscard]] const gguf_metadata& metadata() const noexcept { return metadata_; }
    /// The value under a key, such as value<std::uint32_t>("llama.block_count").
    /// @tparam T  the type that the file must have it in
    /// @throws format_error  there is none, or it is of another type
    template <gguf_value_type T>
    [[nodiscard]] const T& value(std::string_view key) const {
        return io::at<T>(metadata_, key, path_.string());
    }
    /// The same, or nullptr when there is none.
    /// @throws format_error  it is of another type
    template <gguf_value_type T>
    [[nodiscard]] const T* find_value(std::string_view key) const {
        return io::find<T>(metadata_, key, path_.string());
    }

private:
    gguf(std::span<const std::byte> bytes, std::filesystem::path path, const std::shared_ptr<const mapped_file>& file)
        : path_(std::move(path)) {
        auto header = impl::parse_gguf(bytes, path_.string());
        version_ = header.version;
        metadata_ = std::move(header.metadata);
        const auto data = bytes.subspan(header.data_begin);
        for (auto& entry : header.tensors)
            tensors_.push_back({std::move(entry.name), entry.type, std::move(entry.shape),
                                data.subspan(entry.begin, entry.size), file});
        std::ranges::sort(tensors_, {}, &gguf_tensor::name);
    }

    [[nodiscard]] const gguf_tensor* find_tensor(std::string_view name) const noexcept {
        const auto place = std::ranges::lower_bound(tensors_, name, {}, &gguf_tensor::name);
        return place != tensors_.end() && place->name == name ? &*place : nullptr;
    }

    std::filesystem::path path_;
    std::uint32_t version_ = 0;
    gguf_metadata metadata_;
    std::vector<gguf_tensor> tensors_;
};

/// Writes the tensor's elements to `out`: F64 rounded to float, others exactly the floats that llama.cpp makes of them.
/// @throws shape_error   `out` has another size
/// @throws format_error  the tensor is none of F32, F16, BF16, F64 and the types that gptq::dequantize knows
inline void read_floats(const gguf_tensor& tensor, std::span<float> out) {
    gptq::detail::expect_equal(describe(tensor), "number of elements", out.size(), element_count(tensor));
    switch (tensor.type) {
        case ggml_type::f32: return impl::read_as<float>(tensor.bytes, out);
        case ggml_type::f16: return impl::read_as<f16>(tensor.bytes, out);
        case ggml_type::bf16: return impl::read_as<bf16>(tensor.bytes, out);
        case ggml_type::f64: return impl::read_as<double>(tensor.bytes, out);
        default: break;
    }
    try {
        dequantize(tensor.type, tensor.bytes, out);
    } catch (const option_error&) {
        gptq::detail::fail<format_error>(describe(tensor), ": is ", gptq::name(tensor.type),
                                         ", expected F32, F16, BF16, F64, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K … Q6_K");
    }
}

/// The same, into a vector.
[[nodiscard]] inline std::vector<float> to_floats(const gguf_tensor& tensor) {
    std::vector<float> out(element_count(tensor));
    read_floats(tensor, out);
    return out;
}

}  // namespace gptq::io
