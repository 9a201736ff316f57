// What tasks on several threads throw, and who gets it: the thread that waits for all of them gets the first.
#pragma once

#include <atomic>
#include <exception>
#include <utility>

#include <gptq/core/config.hpp>

namespace gptq::detail {

/// Keeps the first exception of some tasks. In a program without exceptions there is none to keep.
class first_error {
public:
    /// Runs a part of the work.
    /// @returns  whether it did not throw
    template <class Task>
    bool guard(Task&& task) noexcept {
#if GPTQ_WITH_EXCEPTIONS
        try {
            task();
        } catch (...) {
            if (!failed_.test_and_set(std::memory_order_relaxed)) error_ = std::current_exception();
            return false;
        }
#else
        task();
#endif
        return true;
    }

    /// The first exception, for std::rethrow_exception, or nullptr. It is forgotten here.
    /// @pre  all tasks have ended, and this thread knows it
    [[nodiscard]] std::exception_ptr take() noexcept {
        failed_.clear(std::memory_order_relaxed);
        return std::exchange(error_, nullptr);
    }

private:
    std::atomic_flag failed_;
    std::exception_ptr error_;  ///< of the first task that set failed_
};

}  // namespace gptq::detail
