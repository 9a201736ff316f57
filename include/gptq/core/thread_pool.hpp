// A pool of standard threads that stay: the executor for calls that take microseconds. Idle threads sleep in the
// kernel, so a pool costs nothing between calls and does not fight other programs for their cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// An executor whose threads persist. The calling thread works too, so a pool of one has no threads of its own.
///
/// - Calls from several threads are served one after the other.
/// - A call from inside a task, of this pool or another, runs on the thread that makes it.
/// - After a task threw, the others still run; for_each then rethrows the first exception.
/// - for_each allocates nothing.
class thread_pool {
public:
    /// @param concurrency  how many tasks run at once, the calling thread's included; 0 counts as 1
    /// @throws std::system_error  the system has no thread left
    explicit thread_pool(std::size_t concurrency = std::thread::hardware_concurrency()) {
        try {
            helpers_.reserve(concurrency);
            while (helpers_.size() + 1 < concurrency) helpers_.emplace_back([this] { help(); });
        } catch (...) {
            stop();
            throw;
        }
    }
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;
    ~thread_pool() { stop(); }

    [[nodiscard]] std::size_t concurrency() const noexcept { return helpers_.size() + 1; }

    /// Calls task(0) … task(count - 1), each once, in any order, and returns when all have ended.
    /// @throws option_error  count is 2^32 - 1 or more; else what a task throws
    template <class Task>
    void for_each(std::size_t count, Task&& task) {
        if (count >= closing) detail::fail<option_error>("thread_pool: ", count, " tasks, expected less than 2^32 - 1");
        if (helpers_.empty() || count <= 1 || inside_task()) {
            for (std::size_t i = 0; i < count; ++i) task(i);
            return;
        }
        using target = std::remove_reference_t<Task>;
        const auto call = [](const void* t, std::size_t i) { (*static_cast<target*>(const_cast<void*>(t)))(i); };
        run({call, std::addressof(task)}, static_cast<std::uint32_t>(count));
    }

private:
    /// No number of tasks: tells the helpers to leave. A helper that is still looking for work must not take it for
    /// some.
    static constexpr std::uint32_t closing = std::numeric_limits<std::uint32_t>::max();

    struct job {
        void (*call)(const void* task, std::size_t index) = nullptr;
        const void* task = nullptr;
    };

    void run(job next, std::uint32_t count) {
        const std::lock_guard one_caller(callers_);
        job_ = next;
        error_ = nullptr;
        unfinished_.store(count, std::memory_order_relaxed);
        unclaimed_.store(count, std::memory_order_release);
        unclaimed_.notify_all();
        work();
        for (auto n = unfinished_.load(std::memory_order_acquire); n != 0;
             n = unfinished_.load(std::memory_order_acquire))
            unfinished_.wait(n, std::memory_order_acquire);
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

    /// Takes one task's index, or returns false when none is left. A claim keeps run() waiting, so job_ is the claimed
    /// task's own, however late this thread comes.
    bool claim(std::uint32_t& index) noexcept {
        index = unclaimed_.load(std::memory_order_relaxed);
        while (index != 0 && index != closing)
            if (unclaimed_.compare_exchange_weak(index, index - 1, std::memory_order_acquire,
                                                 std::memory_order_relaxed)) {
                --index;
                return true;
            }
        return false;
    }

    /// Runs tasks until none is left to claim.
    void work() noexcept {
        inside_task() = true;
        for (std::uint32_t index = 0; claim(index);) {
            try {
                job_.call(job_.task, index);
            } catch (...) {
                const std::lock_guard lock(error_guard_);
                if (!error_) error_ = std::current_exception();
            }
            if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
        }
        inside_task() = false;
    }

    void help() noexcept {
        for (;;) {
            unclaimed_.wait(0, std::memory_order_relaxed);
            if (unclaimed_.load(std::memory_order_relaxed) == closing) return;
            work();
        }
    }

    void stop() noexcept {
        unclaimed_.store(closing, std::memory_order_release);
        unclaimed_.notify_all();
        for (std::thread& helper : helpers_) helper.join();
    }

    static bool& inside_task() noexcept {
        thread_local bool inside = false;
        return inside;
    }

    // 32 bits are what the kernel can wait for directly. The two counters are written by different threads at once.
    alignas(64) std::atomic<std::uint32_t> unclaimed_{0};
    alignas(64) std::atomic<std::uint32_t> unfinished_{0};
    job job_;
    std::exception_ptr error_;
    std::mutex error_guard_;
    std::mutex callers_;
    std::vector<std::thread> helpers_;
};

}  // namespace GPTQ_ISA
}  // namespace gptq
