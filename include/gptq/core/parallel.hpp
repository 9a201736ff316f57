// Executors: how the library runs independent tasks. Bring your own thread pool by writing these two members.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include <gptq/core/config.hpp>

namespace gptq {

/// What a parallel function asks of an executor `e`:
///   e.concurrency()        how many tasks can run at once, at least 1; used to cut work into ranges
///   e.for_each(count, f)   calls f(0) … f(count - 1), each exactly once, in any order, on any threads, and returns
///                          when all have ended. A task that throws makes for_each throw.
/// Results never depend on the executor: work is cut by the data, and tasks write to places of their own.
template <class E>
concept executor = requires(E& e, std::size_t count, decltype([](std::size_t) {}) task) {
    { e.concurrency() } -> std::convertible_to<std::size_t>;
    e.for_each(count, task);
};

/// Runs everything on the calling thread.
struct serial {
    [[nodiscard]] static constexpr std::size_t concurrency() noexcept { return 1; }
    template <class Task>
    void for_each(std::size_t count, Task&& task) const {
        for (std::size_t i = 0; i < count; ++i) task(i);
    }
};

/// Starts `count` standard threads for each call and joins them: right for solves, which take milliseconds or hours.
/// For GEMV, whose calls take microseconds, use thread_pool.
struct threads {
    std::size_t count = std::thread::hardware_concurrency();

    [[nodiscard]] std::size_t concurrency() const noexcept { return count > 0 ? count : 1; }

    template <class Task>
    void for_each(std::size_t tasks, Task&& task) const {
        const std::size_t helpers = (tasks < concurrency() ? tasks : concurrency());
        std::atomic<std::size_t> next{0};
        std::atomic<bool> failed{false};
        std::exception_ptr error;
        const auto work = [&]() noexcept {
            for (std::size_t i = next++; i < tasks; i = next++) {
                try {
                    task(i);
                } catch (...) {
                    if (!failed.exchange(true)) error = std::current_exception();
                    return;
                }
            }
        };
        {
            std::vector<std::jthread> pool;
            for (std::size_t t = 1; t < helpers; ++t) pool.emplace_back(work);
            work();
        }
        if (error) std::rethrow_exception(error);
    }
};

}  // namespace gptq
