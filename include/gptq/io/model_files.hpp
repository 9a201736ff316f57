// The tensors of a Hugging Face model folder, in however many safetensors files they lie.
// Which files those are is decided here; what a model makes of its tensors is not.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/io/file_descriptor.hpp>
#include <gptq/io/json.hpp>
#include <gptq/io/mapped_file.hpp>
#include <gptq/io/model_names.hpp>
#include <gptq/io/safetensors.hpp>
#include <gptq/io/safetensors_header.hpp>
#include <gptq/io/tensor.hpp>

namespace gptq::io {

namespace impl {

inline std::vector<tensor_ref> read_file(const std::filesystem::path& path) {
    const auto file = safetensors::open(path);
    return {file.tensors().begin(), file.tensors().end()};
}

/// The index of a sharded model: tensor name → name of a file in the same folder.
inline std::map<std::string, std::string> read_weight_map(const std::filesystem::path& index) {
    const std::string where = index.string();
    const json root = parse_json(mapped_file(index).text(), where);
    std::map<std::string, std::string> weight_map;
    for (const auto& [tensor, value] :
         as_object(required(as_object(root, where, "the index"), "weight_map", where), where, "weight_map")) {
        const std::string& shard = as_string(value, where, gptq::detail::text("weight_map['", tensor, "']"));
        if (shard.empty() || shard == "." || shard == ".." ||
            shard.find_first_of(std::string_view("/\\\0", 3)) != shard.npos)
            gptq::detail::fail<format_error>(where, ": tensor '", tensor, "' is said to be in ", found(value),
                                             ", expected the plain name of a file in the same folder");
        weight_map[tensor] = shard;
    }
    return weight_map;
}

/// All shards' tensors, which must be those of the index, each in the file that it names.
inline std::vector<tensor_ref> read_shards(const std::filesystem::path& index) {
    const auto weight_map = read_weight_map(index);
    std::map<std::string, std::vector<std::string_view>> shards;
    for (const auto& [tensor, shard] : weight_map) shards[shard].push_back(tensor);
    std::vector<tensor_ref> tensors;
    for (const auto& [shard, in_shard] : shards) {
        const auto path = folder_of(index) / shard;
        if (!is_present(path))
            gptq::detail::fail<format_error>(index.string(), ": names the file '", shard, "', which is missing");
        const auto file = safetensors::open(path);
        for (const tensor_ref& tensor : file.tensors()) {
            const auto listed = weight_map.find(tensor.name);
            if (listed == weight_map.end() || listed->second != shard)
                gptq::detail::fail<format_error>(describe(tensor), ": is not listed in ", index.string());
            tensors.push_back(tensor);
        }
        for (const std::string_view tensor : in_shard)
            if (!file.contains(tensor))
                gptq::detail::fail<format_error>(path.string(), ": has no tensor '", tensor, "', which ",
                                                 index.string(), " lists there");
    }
    return tensors;
}

/// The one safetensors file of a folder, whatever its name; but a shard without its index is a part of a model.
inline std::filesystem::path only_safetensors(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    with_file_errors([&] {
        for (const auto& entry : std::filesystem::directory_iterator(folder))
            if (entry.path().extension() == ".safetensors" && !is_shard_name(entry.path().filename().string()))
                files.push_back(entry.path());
    });
    if (files.size() != 1)
        gptq::detail::fail<format_error>(
            folder.string(), ": has no model.safetensors, no model.safetensors.index.json, and ", files.size(),
            " other safetensors files of a whole model, expected one of these");
    return files.front();
}

}  // namespace impl

/// A model's tensors, whichever files they are in.
class model_files {
public:
    /// Opens model.safetensors, or the shards that model.safetensors.index.json lists, or, as old quantizers name
    /// theirs freely, the only .safetensors file of the folder.
    /// @throws file_error, format_error  as safetensors::open; index and shards disagree; no model, or several
    [[nodiscard]] static model_files open(const std::filesystem::path& folder) {
        const auto index = folder / impl::index_name;
        const auto single = folder / impl::single_name;
        if (impl::is_present(single)) return {folder, impl::read_file(single)};
        if (impl::is_present(index)) return {folder, impl::read_shards(index)};
        return {folder, impl::read_file(impl::only_safetensors(folder))};
    }

    /// Of the folder.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// All of them, in the order of their names.
    [[nodiscard]] std::span<const tensor_ref> tensors() const noexcept { return table_.all(); }
    /// Whether a tensor has this name.
    [[nodiscard]] bool contains(std::string_view name) const noexcept { return table_.find(name) != nullptr; }
    /// @throws format_error  no such tensor
    [[nodiscard]] const tensor_ref& at(std::string_view name) const { return table_.at(name, path_); }

private:
    model_files(std::filesystem::path path, std::vector<tensor_ref> tensors)
        : path_(std::move(path)), table_(std::move(tensors)) {}

    std::filesystem::path path_;
    tensor_table table_;
};

}  // namespace gptq::io
