// A whole file as read-only memory. Pages are read when they are touched; nothing is copied.
// Who truncates a file while it is mapped takes its pages away: writers of this library never do, they rename.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <gptq/core/error.hpp>
#include <gptq/io/file_descriptor.hpp>

namespace gptq::io {

/// A file mapped for reading.
class mapped_file {
public:
    /// @throws file_error  absent, unreadable, or not an ordinary file
    explicit mapped_file(std::filesystem::path path) : path_(std::move(path)) {
        // O_NONBLOCK: opening a pipe must not wait for its writer; for ordinary files it means nothing.
        const impl::file_descriptor file(path_, O_RDONLY | O_NONBLOCK);
        struct stat status {};
        if (::fstat(file.get(), &status) != 0) impl::fail_errno(path_, "read the size of the file");
        if (!S_ISREG(status.st_mode)) gptq::detail::fail<file_error>(path_.string(), ": is not an ordinary file");
        if (static_cast<std::uintmax_t>(status.st_size) > std::numeric_limits<std::ptrdiff_t>::max())
            gptq::detail::fail<file_error>(path_.string(), ": is larger than memory can address");
        size_ = static_cast<std::size_t>(status.st_size);
        if (size_ == 0) return;  // which mmap refuses
        data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
        if (data_ == MAP_FAILED) impl::fail_errno(path_, "map");
    }
    mapped_file(const mapped_file&) = delete;
    mapped_file& operator=(const mapped_file&) = delete;
    ~mapped_file() {
        if (size_ != 0) ::munmap(data_, size_);
    }

    /// As it was opened.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// All of the file.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
        return {static_cast<const std::byte*>(data_), size_};
    }
    /// The same as characters, in whatever encoding.
    [[nodiscard]] std::string_view text() const noexcept { return {static_cast<const char*>(data_), size_}; }

private:
    std::filesystem::path path_;
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace gptq::io
