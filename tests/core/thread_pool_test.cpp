// Tests include/gptq/core/thread_pool.hpp.
#include <gptq/core/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gptq/core/parallel.hpp>

#include "support/catch.hpp"

namespace thread_pool_test {

static_assert(gptq::executor<gptq::thread_pool>);

TEST_CASE("a thread pool runs every task exactly once", "[core]") {
    for (const std::size_t concurrency : {0U, 1U, 2U, 3U, 8U}) {
        gptq::thread_pool pool(concurrency);
        CHECK(pool.concurrency() == std::max<std::size_t>(concurrency, 1));
        for (const std::size_t count : {0U, 1U, 2U, 3U, 7U, 100U, 1000U}) {
            std::vector<std::atomic<int>> runs(count);
            pool.for_each(count, [&](std::size_t i) { ++runs[i]; });
            bool once = true;
            for (const auto& n : runs) once = once && n == 1;
            CHECK(once);
        }
    }
}

TEST_CASE("what tasks wrote is visible when for_each returns, call after call", "[core]") {
    gptq::thread_pool pool(3);
    std::vector<std::size_t> value(7);
    bool seen = true;
    for (std::size_t call = 0; call < 20'000; ++call) {
        pool.for_each(value.size(), [&](std::size_t i) { value[i] = call + i; });
        for (std::size_t i = 0; i < value.size(); ++i) seen = seen && value[i] == call + i;
    }
    CHECK(seen);
}

TEST_CASE("a pool's tasks run on several threads at once", "[core]") {
    gptq::thread_pool pool(2);
    std::atomic<int> arrived{0};
    pool.for_each(2, [&](std::size_t) {
        ++arrived;
        while (arrived < 2) std::this_thread::yield();  // neither ends before both have begun
    });
    CHECK(arrived == 2);
}

TEST_CASE("for_each inside a task of the same pool, or of each other's pools, returns", "[core]") {
    gptq::thread_pool a(2), b(2);
    std::atomic<int> runs{0};
    a.for_each(4, [&](std::size_t) { a.for_each(5, [&](std::size_t) { ++runs; }); });
    CHECK(runs == 20);
    a.for_each(4,
               [&](std::size_t) { b.for_each(4, [&](std::size_t) { a.for_each(2, [&](std::size_t) { ++runs; }); }); });
    CHECK(runs == 20 + 32);
}

TEST_CASE("several threads may use one pool at the same time", "[core]") {
    gptq::thread_pool pool(3);
    std::atomic<int> runs{0};
    {
        std::vector<std::jthread> callers;
        for (int caller = 0; caller < 4; ++caller)
            callers.emplace_back([&] {
                for (int call = 0; call < 500; ++call) pool.for_each(10, [&](std::size_t) { ++runs; });
            });
    }
    CHECK(runs == 4 * 500 * 10);
}

TEST_CASE("a task's exception comes out of for_each, and the pool goes on working", "[core]") {
    for (const std::size_t concurrency : {1U, 2U, 4U}) {
        gptq::thread_pool pool(concurrency);
        const auto fail_at_3 = [](std::size_t i) {
            if (i == 3) throw std::runtime_error("task " + std::to_string(i));
        };
        for (int call = 0; call < 50; ++call) CHECK_THROWS_WITH(pool.for_each(8, fail_at_3), "task 3");
        CHECK_THROWS_AS(pool.for_each(8, [](std::size_t) { throw 1; }), int);
        std::atomic<int> runs{0};
        CHECK_NOTHROW(pool.for_each(8, [&](std::size_t) { ++runs; }));
        CHECK(runs == 8);
    }
}

TEST_CASE("pools come and go, with work and without, and closing one is not taken for a task", "[core]") {
    std::atomic<int> runs{0};
    for (int i = 0; i < 200; ++i) {
        gptq::thread_pool pool(4);
        if (i % 2 == 0) pool.for_each(3, [&](std::size_t) { ++runs; });
    }
    CHECK(runs == 300);
}

TEST_CASE("more tasks than a pool can count are refused", "[core]") {
    gptq::thread_pool pool(2);
    CHECK_THROWS_AS(pool.for_each(std::size_t{0xFFFF'FFFF}, [](std::size_t) {}), gptq::option_error);
}

}  // namespace thread_pool_test
