// A file of tensors whose places are known before their bytes are: each is written where it belongs, in any order,
// whole or in pieces. The file appears under its name when the last one is in it. What comes before the tensors, and
// what lies between them, is the format's matter.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <gptq/core/error.hpp>
#include <gptq/io/partial_file.hpp>

namespace gptq::io::impl {

class placed_file {
public:
    /// What is left to be written of a tensor.
    struct place {
        std::size_t begin;  ///< from the start of the file
        std::size_t size;
    };
    using places = std::map<std::string, place, std::less<>>;

    /// Starts a file of `size` bytes, all of them 0 but those of `header`.
    /// @param tensors  in the file, each in bytes of its own
    /// @throws file_error  the folder is absent or not writable; another process is writing the same file
    placed_file(const std::filesystem::path& path, std::string_view header, std::size_t size, places tensors)
        : file_(path), missing_(std::move(tensors)) {
        file_.resize(size);
        file_.write_at(0, std::as_bytes(std::span(header)));
    }

    /// Writes one tensor, each once.
    /// @throws option_error  not declared, or written before
    /// @throws shape_error   not as many bytes as declared
    void write(std::string_view name, std::span<const std::byte> bytes) {
        const auto found = unfinished(name);
        gptq::detail::expect_equal(describe(name), "number of bytes", found->second.size, bytes.size());
        write_to(found, bytes);
    }

    /// Writes the next bytes of a tensor.
    /// @throws option_error  not declared, or all of it is written
    /// @throws shape_error   more bytes than are left of it
    void append(std::string_view name, std::span<const std::byte> bytes) {
        const auto found = with_room(name, bytes.size());
        write_to(found, bytes);
    }

    /// The next `count` bytes of a tensor are 0, as they are already: nothing is written.
    /// @throws as append
    void append_zeros(std::string_view name, std::size_t count) { pass(with_room(name, count), count); }

    /// Whether all tensors are written.
    [[nodiscard]] bool is_complete() const noexcept { return missing_.empty(); }

    /// Syncs the file and gives it its name. Call once, last.
    /// @throws option_error  a declared tensor was not written
    void finish() {
        if (!missing_.empty())
            gptq::detail::fail<option_error>(file_.path().string(), ": ", missing_.size(),
                                             " of the declared tensors were not written, such as '",
                                             missing_.begin()->first, "'");
        file_.commit();
    }

private:
    [[nodiscard]] std::string describe(std::string_view name) const {
        return gptq::detail::text(file_.path().string(), ": tensor '", name, "'");
    }

    [[nodiscard]] places::iterator unfinished(std::string_view name) {
        const auto found = missing_.find(name);
        if (found == missing_.end())
            gptq::detail::fail<option_error>(describe(name), " was not declared, or is written for the second time");
        return found;
    }

    [[nodiscard]] places::iterator with_room(std::string_view name, std::size_t count) {
        const auto found = unfinished(name);
        if (const std::size_t left = found->second.size; count > left)
            gptq::detail::fail<shape_error>(describe(name), ": ", count, " more bytes, of which it has ", left,
                                            " left");
        return found;
    }

    void write_to(places::iterator found, std::span<const std::byte> bytes) {
        file_.write_at(found->second.begin, bytes);
        pass(found, bytes.size());
    }

    void pass(places::iterator found, std::size_t count) {
        auto& [begin, size] = found->second;
        begin += count;
        size -= count;
        if (size == 0) missing_.erase(found);
    }

    partial_file file_;
    places missing_;
};

}  // namespace gptq::io::impl
