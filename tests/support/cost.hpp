// What something costs: its memory and its processor's time, measured in a process of its own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct cost {
    std::string said;            ///< what f returned, or the message of what it threw; at most 1000 bytes of it
    std::size_t peak_bytes = 0;  ///< memory that f touched at once, beyond what there was before it
    double seconds = 0;          ///< of the processor
};

namespace support {

/// Of this process.
inline cost cost_so_far() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return {"", static_cast<std::size_t>(usage.ru_maxrss) * 1024, seconds(usage.ru_utime) + seconds(usage.ru_stime)};
}

}  // namespace support

/// Runs f, which returns a text, in a process that ends after two minutes of work, done or not.
/// @throws std::runtime_error  it was not done
template <class F>
cost cost_of(F&& f) {
    struct report {
        char said[1000];
        std::size_t peak_bytes;
        double seconds;
    };
    void* const shared = ::mmap(nullptr, sizeof(report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) throw std::runtime_error("cost_of: cannot share memory");
    auto* const made = static_cast<report*>(shared);
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("cost_of: cannot fork");
    if (child == 0) {
        const rlimit most{120, 120};
        ::setrlimit(RLIMIT_CPU, &most);
        const cost before = support::cost_so_far();
        std::string said;
        try {
            said = f();
        } catch (const std::exception& e) {
            said = e.what();
        }
        const cost after = support::cost_so_far();
        made->peak_bytes = after.peak_bytes - before.peak_bytes;
        made->seconds = after.seconds - before.seconds;
        std::memcpy(made->said, said.data(), std::min(said.size(), sizeof made->said - 1));
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    const cost result{made->said, made->peak_bytes, made->seconds};
    ::munmap(shared, sizeof(report));
    if (!WIFEXITED(status)) throw std::runtime_error("cost_of: was not done after two minutes, or crashed");
    return result;
}
