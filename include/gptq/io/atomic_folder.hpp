// A folder that appears under its name only when it is complete: a model half written is never taken for a model.
// The folder's counterpart of partial_file.
#pragma once

#include <cstdio>
#include <filesystem>
#include <system_error>

#include <fcntl.h>

#include <gptq/core/error.hpp>
#include <gptq/io/file_descriptor.hpp>

namespace gptq::io {

/// A folder that is being written.
class atomic_folder {
public:
    /// Makes an empty folder to write to, in the place of one that a killed program has left there.
    /// @throws file_error  something other than an empty folder is at `path`, and stays as it is; the place is not
    ///                     writable; another process is writing the same folder
    explicit atomic_folder(const std::filesystem::path& path)
        : path_(complete(path)), partial_(impl::partial_path(path_)), lock_(started(path_, partial_)) {}
    atomic_folder(const atomic_folder&) = delete;
    atomic_folder& operator=(const atomic_folder&) = delete;
    /// Without a commit nothing remains.
    ~atomic_folder() {
        std::error_code ignored;
        if (!committed_) std::filesystem::remove_all(partial_, ignored);
    }

    /// The folder to write to until commit.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return partial_; }

    /// Syncs all files and gives the folder its name. Call once, last.
    /// @throws file_error  also when a folder with files has appeared at that name in the meantime
    void commit() {
        impl::with_file_errors([this] {
            for (const auto& entry : std::filesystem::recursive_directory_iterator(partial_))
                if (entry.is_regular_file())
                    impl::sync(impl::file_descriptor(entry.path(), O_RDONLY), entry.path());
                else if (entry.is_directory())
                    impl::sync_folder(entry.path());
        });
        impl::sync(lock_, partial_);
        if (::rename(partial_.c_str(), path_.c_str()) != 0) impl::fail_errno(path_, "rename the finished folder");
        committed_ = true;
        impl::sync_folder(impl::folder_of(path_));
    }

private:
    /// The path without links and without a trailing separator.
    static std::filesystem::path complete(const std::filesystem::path& path) {
        return impl::with_file_errors([&] {
            const auto whole = std::filesystem::weakly_canonical(std::filesystem::absolute(path)).lexically_normal();
            return whole.has_filename() ? whole : whole.parent_path();
        });
    }

    static impl::file_descriptor started(const std::filesystem::path& path, const std::filesystem::path& partial) {
        return impl::with_file_errors([&] {
            if (std::filesystem::is_symlink(path))
                gptq::detail::fail<file_error>(path.string(), ": is a link to nothing; remove it");
            if (std::filesystem::exists(path) &&
                !(std::filesystem::is_directory(path) && std::filesystem::is_empty(path)))
                gptq::detail::fail<file_error>(path.string(),
                                               ": already exists; remove it, or choose another output folder");
            std::filesystem::create_directories(partial);
            impl::file_descriptor folder(partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
            impl::lock(folder, partial);
            for (const auto& leftover : std::filesystem::directory_iterator(partial))
                std::filesystem::remove_all(leftover.path());
            return folder;
        });
    }

    std::filesystem::path path_;
    std::filesystem::path partial_;
    impl::file_descriptor lock_;
    bool committed_ = false;
};

}  // namespace gptq::io
