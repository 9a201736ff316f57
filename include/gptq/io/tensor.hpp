// tensor_ref: a tensor where it lies in a mapped file; tensor_table: many of them, found by name.
// Nothing is copied or converted here; floats.hpp converts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/mapped_file.hpp>

namespace gptq::io {

/// A tensor in a file: row-major, at any alignment. Keeps the file mapped for as long as it lives.
struct tensor_ref {
    std::string name;                         ///< "model.layers.0.mlp.down_proj.qweight"
    dtype type = dtype::F32;                  ///< of the elements
    std::vector<std::size_t> shape;           ///< empty for a scalar
    std::span<const std::byte> bytes;         ///< as many as type and shape say
    std::shared_ptr<const mapped_file> file;  ///< where the bytes lie; nullptr in memory of the caller's
};

/// The product of its shape.
[[nodiscard]] inline std::size_t element_count(const tensor_ref& tensor) noexcept {
    return tensor.bytes.size() * 8 / bits(tensor.type);
}

/// "model.safetensors: tensor 'lm_head.weight'", how messages about a tensor begin.
[[nodiscard]] inline std::string describe(const tensor_ref& tensor) {
    return gptq::detail::text(tensor.file ? tensor.file->path().string() + ": " : "", "tensor '", tensor.name, "'");
}

/// Tensors in the order of their names, which are all different.
class tensor_table {
public:
    tensor_table() = default;
    /// @pre  all names are different
    explicit tensor_table(std::vector<tensor_ref> tensors) : tensors_(std::move(tensors)) {
        std::ranges::sort(tensors_, {}, &tensor_ref::name);
    }

    /// In the order of their names.
    [[nodiscard]] std::span<const tensor_ref> all() const noexcept { return tensors_; }

    /// nullptr when there is none of that name.
    [[nodiscard]] const tensor_ref* find(std::string_view name) const noexcept {
        const auto place = std::ranges::lower_bound(tensors_, name, {}, &tensor_ref::name);
        return place != tensors_.end() && place->name == name ? &*place : nullptr;
    }

    /// @param path  what the error says lacks the tensor
    /// @throws format_error  there is none of that name
    [[nodiscard]] const tensor_ref& at(std::string_view name, const std::filesystem::path& path) const {
        const tensor_ref* tensor = find(name);
        if (tensor == nullptr) gptq::detail::fail<format_error>(path.string(), ": has no tensor '", name, "'");
        return *tensor;
    }

private:
    std::vector<tensor_ref> tensors_;
};

}  // namespace gptq::io
