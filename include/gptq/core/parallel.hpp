// Executors: how the library runs independent tasks. Bring your own thread pool by writing these two members.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

#include <gptq/core/first_error.hpp>

namespace gptq {

/// What a parallel function asks of an executor `e`:
///   e.concurrency()        how many tasks can run at once, at least 1; used to cut work into ranges
///   e.for_each(count, f)   calls f(0) … f(count - 1), each exactly once, in any order, on any threads, and returns
///                          when all have ended. A task that throws makes for_each throw.
///
/// Results never depend on the executor: work is cut by the data, and tasks write to places of their own.
///
///     struct backwards {
///         std::size_t concurrency() const { return 1; }
///         void for_each(std::size_t count, auto&& task) const { while (count > 0) task(--count); }
///     };
template <class E>
concept executor = requires(E& e, std::size_t count, decltype([](std::size_t) {}) task) {
    { e.concurrency() } -> std::convertible_to<std::size_t>;
    e.for_each(count, task);
};

/// Runs everything on the calling thread.
struct serial {
    /// 1: the caller's thread.
    [[nodiscard]] static constexpr std::size_t concurrency() noexcept { return 1; }

    /// Calls task(0) … task(count - 1), in this order, up to the first that throws.
    template <std::invocable<std::size_t> Task>
    void for_each(std::size_t count, Task&& task) const {
        for (std::size_t i = 0; i < count; ++i) task(i);
    }
};

/// Starts `count` standard threads for each call and joins them: right for solves, which take milliseconds or hours.
/// For GEMV, whose calls take microseconds, use thread_pool.
struct threads {
    std::size_t count = std::thread::hardware_concurrency();  ///< of tasks at once; 0 counts as 1

    /// The calling thread, which works too, and those that a call may start.
    [[nodiscard]] std::size_t concurrency() const noexcept { return count > 0 ? count : 1; }

    /// Calls task(0) … task(tasks - 1), each once, in any order, and returns when all have ended.
    /// @throws what a task threw; the other tasks may or may not have run
    /// @throws std::system_error  the system has no thread left
    template <std::invocable<std::size_t> Task>
    void for_each(std::size_t tasks, Task&& task) const {
        const std::size_t helpers = (tasks < concurrency() ? tasks : concurrency());
        std::atomic<std::size_t> next{0};
        detail::first_error error;
        const auto work = [&]() noexcept {
            for (std::size_t i = next++; i < tasks; i = next++)
                if (!error.guard([&] { task(i); })) return;
        };
        {
            std::vector<std::jthread> pool;
            for (std::size_t t = 1; t < helpers; ++t) pool.emplace_back(work);
            work();
        }
        if (const std::exception_ptr first = error.take()) std::rethrow_exception(first);
    }
};

}  // namespace gptq
