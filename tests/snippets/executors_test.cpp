// The executors of docs/own_executor.md: each task runs once, and what one throws arrives.
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <gptq/core/parallel.hpp>

#include "support/catch.hpp"

namespace {

/// Over a pool that takes one job at a time and tells nothing of its end.
template <class Pool>
struct submitting_executor {
    Pool& pool;

    [[nodiscard]] std::size_t concurrency() const { return pool.size(); }

    void for_each(std::size_t count, auto&& task) const {
        std::vector<std::future<void>> ends;
        for (std::size_t i = 0; i < count; ++i) {
            const auto job = std::make_shared<std::packaged_task<void()>>([&task, i] { task(i); });
            ends.push_back(job->get_future());
            pool.submit([job] { (*job)(); });
        }
        for (auto& end : ends) end.wait();  // all of them, before one of them throws: they use `task`
        for (auto& end : ends) end.get();
    }
};

#if defined(_OPENMP)
/// No exception may leave OpenMP's threads: the last one is carried out by hand.
struct openmp_executor {
    [[nodiscard]] static std::size_t concurrency() { return static_cast<std::size_t>(omp_get_max_threads()); }

    static void for_each(std::size_t count, auto&& task) {
        std::exception_ptr error;
#pragma omp parallel for schedule(dynamic)
        for (std::size_t i = 0; i < count; ++i) {
            try {
                task(i);
            } catch (...) {
#pragma omp critical
                error = std::current_exception();
            }
        }
        if (error) std::rethrow_exception(error);
    }
};
#endif

/// The least that can be called a pool.
class queue_pool {
public:
    explicit queue_pool(std::size_t size) {
        while (threads_.size() < size) threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
    [[nodiscard]] std::size_t size() const { return threads_.size(); }
    void submit(std::function<void()> job) {
        {
            const std::lock_guard lock(mutex_);
            jobs_.push_back(std::move(job));
        }
        arrived_.notify_one();
    }

private:
    void work(const std::stop_token& stop) {
        for (std::unique_lock lock(mutex_); arrived_.wait(lock, stop, [this] { return !jobs_.empty(); });) {
            const auto job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable_any arrived_;
    std::deque<std::function<void()>> jobs_;
    std::vector<std::jthread> threads_;
};

template <gptq::executor E>
void expect_each_once(E&& executor) {
    CHECK(executor.concurrency() >= 1);
    for (const std::size_t count : {0U, 1U, 2U, 100U}) {
        std::vector<std::atomic<int>> calls(count);
        executor.for_each(count, [&](std::size_t i) { ++calls[i]; });
        for (const auto& times : calls) CHECK(times == 1);
    }
    std::atomic<int> ended = 0;
    const auto fails = [&](std::size_t i) {
        ++ended;
        if (i == 3) throw std::runtime_error("the fourth");
    };
    CHECK_THROWS_AS(executor.for_each(8, fails), std::runtime_error);
    CHECK(ended == 8);
}

TEST_CASE("an executor over a pool with submit() runs each task once") {
    queue_pool pool(3);
    expect_each_once(submitting_executor<queue_pool>{pool});
}

#if defined(_OPENMP)
TEST_CASE("an executor of OpenMP's threads runs each task once") { expect_each_once(openmp_executor{}); }
#endif

}  // namespace
