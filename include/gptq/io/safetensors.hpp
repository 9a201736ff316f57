// Reading one safetensors file: mapped, checked from end to end when it is opened, and then just a table of tensors.
// safetensors_writer.hpp writes them; model_files.hpp reads models of several files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/io/mapped_file.hpp>
#include <gptq/io/safetensors_header.hpp>
#include <gptq/io/tensor.hpp>

namespace gptq::io {

/// One safetensors file: its metadata, and its tensors where they lie.
class safetensors {
public:
    /// Maps a file and checks its header: after this every tensor's bytes are there, and as many as its shape says.
    /// Stricter than the format's reference reader in one point: duplicate names are refused, not dropped.
    /// @throws file_error    the file cannot be opened
    /// @throws format_error  file, tensor, offset, expected and found
    [[nodiscard]] static safetensors open(const std::filesystem::path& path) {
        const auto file = std::make_shared<const mapped_file>(path);
        return {file->bytes(), path, file};
    }

    /// The same for a file in memory, which must outlive what is returned, and its tensors.
    /// @param path  what errors call it
    /// @throws format_error  as open
    [[nodiscard]] static safetensors over(std::span<const std::byte> bytes,
                                          const std::filesystem::path& path = "memory") {
        return {bytes, path, nullptr};
    }

    /// As it was opened, or what errors call it.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// All of them, in the order of their names.
    [[nodiscard]] std::span<const tensor_ref> tensors() const noexcept { return table_.all(); }
    /// Whether a tensor has this name.
    [[nodiscard]] bool contains(std::string_view name) const noexcept { return table_.find(name) != nullptr; }
    /// @throws format_error  no such tensor
    [[nodiscard]] const tensor_ref& at(std::string_view name) const { return table_.at(name, path_); }
    /// The texts under __metadata__.
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

private:
    safetensors(std::span<const std::byte> bytes, std::filesystem::path path,
                const std::shared_ptr<const mapped_file>& file)
        : path_(std::move(path)) {
        auto header = impl::parse_header(bytes, path_.string());
        metadata_ = std::move(header.metadata);
        const auto data = bytes.subspan(header.data_begin);
        std::vector<tensor_ref> tensors;
        tensors.reserve(header.tensors.size());
        for (auto& entry : header.tensors)
            tensors.push_back({std::move(entry.name), entry.type, std::move(entry.shape),
                               data.subspan(entry.begin, entry.end - entry.begin), file});
        table_ = tensor_table(std::move(tensors));
    }

    std::filesystem::path path_;
    tensor_table table_;
    std::map<std::string, std::string> metadata_;
};

}  // namespace gptq::io
