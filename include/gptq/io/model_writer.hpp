// Writing a model's tensors to a folder, in one safetensors file or in shards of a size that the user names, with the
// memory of one tensor, or of a piece of one. model_files reads them.
//
// Readers take what they find: some open any safetensors file, some only what the index lists. So files are made in a
// hidden folder beside their names, and get these when the last tensor is written: shards first, the index last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/io/atomic_folder.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/file_descriptor.hpp>
#include <gptq/io/json.hpp>
#include <gptq/io/model_names.hpp>
#include <gptq/io/partial_file.hpp>
#include <gptq/io/safetensors_header.hpp>
#include <gptq/io/safetensors_writer.hpp>

namespace gptq::io {

namespace impl {

/// Beside files of another model, those of a new one would be taken for its parts, or not be found at all.
inline void expect_no_model(const std::filesystem::path& folder) {
    with_file_errors([&] {
        for (const auto& entry : std::filesystem::directory_iterator(folder))
            if (entry.path().extension() == ".safetensors" || entry.path().filename() == index_name)
                gptq::detail::fail<file_error>(entry.path().string(),
                                               ": is of a model that is there already; remove it, or choose another "
                                               "folder");
    });
}

/// Cuts the tensors into one run for each file. None is larger than `largest`, its header included, unless it holds a
/// single tensor. 0: all in one file.
inline std::vector<std::span<const tensor_declaration>> cut(std::span<const tensor_declaration> tensors,
                                                            std::size_t largest,
                                                            const std::map<std::string, std::string>& metadata,
                                                            std::string_view path) {
    const auto entries = measured(tensors, path);
    if (largest == 0) return {tensors};
    const std::size_t empty_file = header_bytes({}, metadata, path).size() + data_alignment - 1;  // more padding
    std::vector<std::span<const tensor_declaration>> runs;
    std::size_t first = 0, size = empty_file;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        header_entry last = entries[i];  // the place with the longest text
        last.begin = last.end = largest;
        const std::size_t more = entries[i].end + entry_text(last, path).size();
        if (i > first && size + more > largest) {
            runs.push_back(tensors.subspan(first, i - first));
            first = i;
            size = empty_file;
        }
        size += more;
    }
    runs.push_back(tensors.subspan(first));
    return runs;
}

}  // namespace impl

/// A model's safetensors files that are being written.
class model_writer {
public:
    /// Decides which file each tensor goes to, in the order of declaration, and writes nothing but a hidden folder yet.
    /// @param folder         made where it is absent; holds no model yet
    /// @param tensors        of the whole model
    /// @param largest_shard  in bytes: a file is larger only where a single tensor is. 0: one file, model.safetensors
    /// @param metadata       of each file, as for safetensors_writer
    /// @throws option_error  as safetensors_writer
    /// @throws file_error    the folder is absent, not writable, or has files of a model; another process is writing
    /// one
    model_writer(const std::filesystem::path& folder, std::span<const tensor_declaration> tensors,
                 std::size_t largest_shard = 0, std::map<std::string, std::string> metadata = {})
        : folder_(folder), metadata_(std::move(metadata)) {
        const auto runs = impl::cut(tensors, largest_shard, metadata_, folder.string());
        for (const auto& run : runs) {
            for (const tensor_declaration& tensor : run) shard_of_.emplace(tensor.name, shards_.size());
            const bool single = runs.size() == 1;
            shards_.push_back({single ? impl::single_name : impl::shard_name(shards_.size() + 1, runs.size()),
                               {run.begin(), run.end()}});
        }
        hidden_.emplace(folder / "model-files");
        impl::expect_no_model(folder);
    }

    /// Writes one tensor. In any order, each once; in the order of declaration, one file is open at a time.
    /// @param bytes  row-major, little-endian
    /// @throws option_error  not declared, or written before
    /// @throws shape_error   not as many bytes as declared
    void write(std::string_view name, std::span<const std::byte> bytes) {
        write_by(name, [&](safetensors_writer& file) { file.write(name, bytes); });
    }

    /// Writes the next bytes of a tensor, for one that is not in memory as a whole.
    /// @throws option_error  not declared, or all of it is written
    /// @throws shape_error   more bytes than are left of it
    void append(std::string_view name, std::span<const std::byte> bytes) {
        write_by(name, [&](safetensors_writer& file) { file.append(name, bytes); });
    }

    /// The same for so many bytes of 0, which take no time, and no disk where the file system knows holes.
    /// @throws as append
    void append_zeros(std::string_view name, std::size_t count) {
        write_by(name, [&](safetensors_writer& file) { file.append_zeros(name, count); });
    }

    /// Gives all files their names; they are synced. Without this nothing remains of them. Call once, last.
    /// @throws option_error  a declared tensor was not written; finished already
    void finish() {
        if (!hidden_) gptq::detail::fail<option_error>(folder_.string(), ": its model is finished already");
        for (shard& s : shards_)
            if (!s.is_whole) close(s);
        for (const shard& s : shards_)
            if (::rename((hidden_->path() / s.name).c_str(), (folder_ / s.name).c_str()) != 0)
                impl::fail_errno(folder_ / s.name, "rename the finished file");
        hidden_.reset();
        impl::sync_folder(folder_);
        if (shards_.size() > 1) write_file_atomically(folder_ / impl::index_name, index_text());
    }

private:
    struct shard {
        std::string name;
        std::vector<tensor_declaration> tensors;
        std::optional<safetensors_writer> file = {};  ///< from its first tensor to its last
        bool is_whole = false;
    };

    template <class F>
    void write_by(std::string_view tensor, F&& f) {
        const auto found = shard_of_.find(tensor);
        if (found == shard_of_.end() || shards_[found->second].is_whole)
            gptq::detail::fail<option_error>(folder_.string(), ": tensor '", tensor,
                                             "' was not declared, or is written for the second time");
        shard& s = shards_[found->second];
        f(open(s));
        if (s.file->is_complete()) close(s);
    }

    safetensors_writer& open(shard& s) {
        if (!s.file) s.file.emplace(hidden_->path() / s.name, s.tensors, metadata_);
        return *s.file;
    }

    void close(shard& s) {
        open(s).finish();
        s.file.reset();
        s.is_whole = true;
    }

    [[nodiscard]] std::string index_text() const {
        std::uint64_t total_size = 0;
        impl::json weight_map;
        for (const shard& s : shards_)
            for (const auto& [name, type, shape] : s.tensors) {
                total_size += byte_count(type, shape).value();
                weight_map[name] = s.name;
            }
        return impl::json{{"metadata", {{"total_size", total_size}}}, {"weight_map", weight_map}}.dump(2) + "\n";
    }

    std::filesystem::path folder_;
    std::map<std::string, std::string> metadata_;
    std::vector<shard> shards_;
    std::map<std::string, std::size_t, std::less<>> shard_of_;
    std::optional<atomic_folder> hidden_;  ///< where files lie until all are whole; never gets its own name
};

}  // namespace gptq::io
