#include <gptq/core/parallel.hpp>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "support/catch.hpp"

namespace parallel_test {

namespace {

using namespace gptq;

static_assert(executor<serial>);
static_assert(executor<threads>);
static_assert(executor<const threads>);

struct without_concurrency {
    template <class Task>
    void for_each(std::size_t, Task&&) const {}
};
static_assert(!executor<without_concurrency>);

TEST_CASE("threads runs every task once, whatever the counts") {
    for (const std::size_t count : {0U, 1U, 2U, 3U, 7U, 64U})
        for (const std::size_t tasks : {0U, 1U, 2U, 5U, 1000U}) {
            std::vector<std::atomic<int>> runs(tasks);
            threads{count}.for_each(tasks, [&](std::size_t i) { ++runs[i]; });
            for (const auto& n : runs) REQUIRE(n == 1);
        }
    CHECK(threads{0}.concurrency() == 1);
}

TEST_CASE("a task's exception comes out of threads") {
    for (const std::size_t count : {1U, 3U})
        CHECK_THROWS_AS(threads{count}.for_each(20,
                                                [](std::size_t i) {
                                                    if (i == 7) throw std::runtime_error("seven");
                                                }),
                        std::runtime_error);
}

}  // namespace

}  // namespace parallel_test
