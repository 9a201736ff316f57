// A progress bar on a terminal's standard error; silence where nobody watches.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <mutex>
#include <string>

namespace llama {

class progress_bar {
public:
    explicit progress_bar(std::string what) : what_(std::move(what)), visible_(isatty(STDERR_FILENO) != 0) {}
    progress_bar(const progress_bar&) = delete;
    progress_bar& operator=(const progress_bar&) = delete;
    ~progress_bar() { clear(); }

    /// From any thread. Redraws at most ten times a second.
    void show(std::size_t done, std::size_t whole) {
        const std::lock_guard lock(mutex_);
        const auto now = std::chrono::steady_clock::now();
        if (!visible_ || whole == 0 || (done < whole && now - drawn_ < std::chrono::milliseconds(100))) return;
        drawn_ = now;
        constexpr std::size_t width = 30;
        const std::size_t filled = width * done / whole;
        std::fprintf(stderr, "\r%s [%s%s] %zu/%zu", what_.c_str(), std::string(filled, '#').c_str(),
                     std::string(width - filled, '.').c_str(), done, whole);
    }

    /// Makes room for a line of output.
    void clear() const {
        if (visible_) std::fputs("\r\033[K", stderr);
    }

private:
    std::string what_;
    bool visible_;
    std::mutex mutex_;
    std::chrono::steady_clock::time_point drawn_{};
};

}  // namespace llama
