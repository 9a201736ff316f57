// A file that appears under its name only when it is complete: written beside it, synced, then renamed.
// Whatever ends a program in between leaves the old file, or none, at that name.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <gptq/io/file_descriptor.hpp>

namespace gptq::io {

/// A file that is being written.
class partial_file {
public:
    /// Starts an empty file beside `path`, in the place of one that a killed program has left there.
    /// @throws file_error  the folder is absent or not writable; another process is writing the same file
    explicit partial_file(std::filesystem::path path)
        : path_(std::move(path)), partial_(impl::partial_path(path_)), file_(partial_, O_WRONLY | O_CREAT) {
        impl::lock(file_, partial_);
        resize(0);
    }
    /// What is moved from is no file any more, and leaves nothing behind.
    partial_file(partial_file&& other) noexcept
        : path_(std::move(other.path_)), partial_(std::exchange(other.partial_, {})), file_(std::move(other.file_)) {}
    partial_file& operator=(partial_file&&) = delete;
    /// Without a commit nothing remains.
    ~partial_file() {
        if (!partial_.empty()) ::unlink(partial_.c_str());
    }

    /// Where the file will be.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

    /// New bytes are 0.
    void resize(std::size_t size) {
        if (::ftruncate(file_.get(), static_cast<off_t>(size)) != 0) impl::fail_errno(partial_, "resize");
    }

    /// Writes bytes from an offset on; in any order, also beyond the end.
    /// @throws file_error  the disk is full, or fails
    void write_at(std::size_t offset, std::span<const std::byte> bytes) {
        constexpr std::size_t at_most = std::size_t{1} << 30U;  // systems refuse or shorten writes of 2 GiB
        while (!bytes.empty()) {
            const auto written =
                ::pwrite(file_.get(), bytes.data(), std::min(bytes.size(), at_most), static_cast<off_t>(offset));
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) impl::fail_errno(partial_, "write");
            offset += static_cast<std::size_t>(written);
            bytes = bytes.subspan(static_cast<std::size_t>(written));
        }
    }

    /// Gives the file its name, replacing what had it. Call once, last.
    void commit() {
        impl::sync(file_, partial_);
        if (::rename(partial_.c_str(), path_.c_str()) != 0) impl::fail_errno(path_, "rename the finished file");
        partial_.clear();
        impl::sync_folder(impl::folder_of(path_));
    }

private:
    std::filesystem::path path_;
    std::filesystem::path partial_;  ///< empty when there is nothing to remove
    impl::file_descriptor file_;
};

/// For small files: readers see the old text or the new one, never a part.
inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
    partial_file file(path);
    file.write_at(0, std::as_bytes(std::span(text)));
    file.commit();
}

}  // namespace gptq::io
