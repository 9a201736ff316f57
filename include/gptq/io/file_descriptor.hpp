// An open file or folder of the operating system that closes itself, and what is done with one: lock, sync.
// Every refusal becomes a file_error: the path, what was tried, and the system's reason.
#pragma once

#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>

#if !GPTQ_WITH_EXCEPTIONS
#error "gptq::io needs exceptions; without them (-fno-exceptions) include gptq/runtime.hpp alone"
#endif

namespace gptq::io::impl {

/// Throws for the system call that has just set errno.
[[noreturn]] inline void fail_errno(const std::filesystem::path& path, std::string_view action) {
    const std::string reason = std::generic_category().message(errno);
    gptq::detail::fail<file_error>(path.string(), ": cannot ", action, ": ", reason);
}

/// Calls f; what std::filesystem throws in it becomes a file_error.
template <class F>
decltype(auto) with_file_errors(F&& f) {
    try {
        return std::forward<F>(f)();
    } catch (const std::filesystem::filesystem_error& e) {
        gptq::detail::fail<file_error>(e.what());
    }
}

class file_descriptor {
public:
    file_descriptor(const std::filesystem::path& path, int flags)
        : value_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {  // 0666: the umask decides
        if (value_ < 0) fail_errno(path, "open");
    }
    file_descriptor(file_descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
    file_descriptor& operator=(file_descriptor&&) = delete;
    ~file_descriptor() {
        if (value_ >= 0) ::close(value_);
    }

    [[nodiscard]] int get() const noexcept { return value_; }

private:
    int value_;
};

/// Keeps a second writer away until the descriptor is closed, or its process ends, however it ends.
/// File systems without locks are left without.
inline void lock(const file_descriptor& file, const std::filesystem::path& path) {
    const bool taken = ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    // A writer that finished after we opened its partial file has renamed it: what we hold is then its result.
    struct stat held {};
    struct stat named {};
    const bool renamed = ::fstat(file.get(), &held) != 0 || ::stat(path.c_str(), &named) != 0 ||
                         held.st_ino != named.st_ino || held.st_dev != named.st_dev;
    if (taken || renamed) gptq::detail::fail<file_error>(path.string(), ": is being written by another process");
}

/// Returns when the contents are on the disk. EINVAL: a file system that has nothing to sync for this kind of file.
inline void sync(const file_descriptor& file, const std::filesystem::path& path) {
    if (::fsync(file.get()) != 0 && errno != EINVAL) fail_errno(path, "sync");
}

inline void sync_folder(const std::filesystem::path& folder) {
    sync(file_descriptor(folder, O_RDONLY | O_DIRECTORY), folder);
}

/// Whether there is anything at `path`, links followed.
[[nodiscard]] inline bool is_present(const std::filesystem::path& path) {
    return with_file_errors([&] { return std::filesystem::exists(path); });
}

/// The folder that holds `path`; "." where the path does not say.
[[nodiscard]] inline std::filesystem::path folder_of(const std::filesystem::path& path) {
    return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Where `path` is written until it is complete: a hidden sibling, on the same file system, the same for every run.
[[nodiscard]] inline std::filesystem::path partial_path(const std::filesystem::path& path) {
    return folder_of(path) / ("." + path.filename().string() + ".partial");
}

}  // namespace gptq::io::impl
