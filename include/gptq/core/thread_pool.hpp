// A pool of standard threads that stay: the executor for calls that take microseconds. Idle threads soon
// sleep in the kernel, so a pool costs nothing between calls and does not fight other programs for their cores.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <thread>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/first_error.hpp>

#if GPTQ_WITH_SSE2
#include <emmintrin.h>
#endif

namespace gptq {
inline namespace GPTQ_ISA {

namespace impl {

/// Tells the processor that this thread only looks, so that its neighbour on the core goes on.
inline void relax() noexcept {
#if GPTQ_WITH_SSE2
    _mm_pause();
#elif GPTQ_WITH_NEON
    asm volatile("yield");
#endif
}

}  // namespace impl

/// An executor whose threads persist. The calling thread works too, so a pool of one has no threads of its own.
///
/// One call is served at a time. A call that finds the pool busy, from inside a task or from another thread, runs its
/// tasks on its own thread: it never waits for the call before it, so calls cannot deadlock, however nested.
/// for_each allocates nothing.
class thread_pool {
public:
    /// @param concurrency  how many tasks run at once, the calling thread's included; 0 counts as 1
    /// @throws std::system_error  the system has no thread left
    explicit thread_pool(std::size_t concurrency = std::thread::hardware_concurrency()) : thread_pool(no_threads{}) {
        helpers_.reserve(concurrency);  // what throws from here on finds a pool to destroy, which joins its threads
        while (helpers_.size() + 1 < concurrency) helpers_.emplace_back([this] { help(); });
    }
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;
    ~thread_pool() { close(); }

    /// The pool's threads and the calling one.
    [[nodiscard]] std::size_t concurrency() const noexcept { return helpers_.size() + 1; }

    /// Calls task(0) … task(count - 1), each once, in any order, and returns when all have ended.
    /// @throws option_error  count is 2^32 - 1 or more
    /// @throws what the first task to throw threw; the other tasks may or may not have run
    template <std::invocable<std::size_t> Task>
    void for_each(std::size_t count, Task&& task) {
        if (count >= closed) detail::fail<option_error>("thread_pool: ", count, " tasks, expected less than 2^32 - 1");
        if (helpers_.empty() || count <= 1 || busy_.test_and_set(std::memory_order_acquire)) {
            for (std::size_t i = 0; i < count; ++i) task(i);
            return;
        }
        auto call = [&task](std::size_t i) { task(i); };
        run({&call, [](void* c, std::size_t i) { (*static_cast<decltype(call)*>(c))(i); }},
            static_cast<std::uint32_t>(count));
    }

private:
    struct no_threads {};
    explicit thread_pool(no_threads) noexcept {}

    struct job {
        void* task = nullptr;
        void (*call)(void* task, std::size_t index) = nullptr;
    };

    /// @pre  this thread has made the pool busy
    void run(job next, std::uint32_t count) {
        job_ = next;
        unfinished_.store(count, std::memory_order_relaxed);
        unclaimed_.store(count);  // sequentially consistent: before notify_all looks for sleepers
        unclaimed_.notify_all();
        work();
        for (std::uint32_t left = 0; (left = unfinished_.load(std::memory_order_acquire)) != 0;)
            wait_while(unfinished_, left);
        const std::exception_ptr error = error_.take();
        busy_.clear(std::memory_order_release);
        if (error) std::rethrow_exception(error);
    }

    /// Takes one task's index, or returns false when none is left. A claim keeps run() waiting, so job_ is the claimed
    /// task's own, however late this thread comes.
    bool claim(std::uint32_t& index) noexcept {
        std::uint32_t left = unclaimed_.load(std::memory_order_relaxed);
        while (left != 0 && left != closed)
            if (unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acquire,
                                                 std::memory_order_relaxed)) {
                index = left - 1;
                return true;
            }
        return false;
    }

    /// Runs tasks until none is left to claim.
    void work() noexcept {
        for (std::uint32_t index = 0; claim(index);) {
            error_.guard([&] { job_.call(job_.task, index); });
            if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
        }
    }

    void help() noexcept {
        while (unclaimed_.load(std::memory_order_relaxed) != closed) {
            work();
            wait_while(unclaimed_, 0);
        }
    }

    /// Waits until a counter has another value. For some tens of microseconds awake: the next call of
    /// a model's layers comes sooner, and a thread that slept takes longer to wake than most calls last. Then asleep.
    static void wait_while(const std::atomic<std::uint32_t>& counter, std::uint32_t value) noexcept {
        constexpr int looks = 3000;
        for (int i = 0; i < looks; ++i) {
            if (counter.load(std::memory_order_relaxed) != value) return;
            impl::relax();
        }
        counter.wait(value, std::memory_order_relaxed);
    }

    void close() noexcept {
        unclaimed_.store(closed);
        unclaimed_.notify_all();
        for (std::thread& helper : helpers_) helper.join();
    }

    /// A number of unclaimed tasks that tells helpers to end.
    static constexpr std::uint32_t closed = std::numeric_limits<std::uint32_t>::max();

    // 32 bits are what a thread can sleep on directly. One counter is taken from when a task starts, the other when it
    // ends, by all threads at once: each has a cache line of its own.
    alignas(64) std::atomic<std::uint32_t> unclaimed_{0};
    alignas(64) std::atomic<std::uint32_t> unfinished_{0};
    alignas(64) std::atomic_flag busy_;
    job job_;
    detail::first_error error_;
    std::vector<std::thread> helpers_;
};

}  // namespace GPTQ_ISA
}  // namespace gptq
