// The clock of all benchmarks, and what they say of many readings of it.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

template <class F>
double seconds(F&& f) {
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Waits without resting: a core that rests is slow for a while afterwards.
inline void wait_busily(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
}

/// The value below which `which` quarters of all lie.
inline double quartile(std::vector<double> values, std::size_t which) {
    std::ranges::sort(values);
    return values[std::min(values.size() * which / 4, values.size() - 1)];
}

inline double median(std::vector<double> values) { return quartile(std::move(values), 2); }

/// The median of as many calls as take 5 ms. One before them wakes what sleeps, and finds what others left in the
/// caches.
template <class F>
double seconds_warm(F&& f) {
    f();
    std::vector<double> times;
    for (double sum = 0; sum < 5e-3; sum += times.back()) times.push_back(seconds(f));
    return median(std::move(times));
}

/// Seconds of f(0) … f(count - 1) on as many threads, which stand ready when the clock starts: waking threads takes
/// tens of microseconds on some machines, and is not their speed.
template <class F>
double seconds_side_by_side(std::size_t count, F&& f) {
    std::atomic<std::size_t> ready{0}, done{0};
    std::vector<std::jthread> others;
    for (std::size_t t = 1; t < count; ++t)
        others.emplace_back([&, t] {
            for (++ready; ready < count;) {
            }
            f(t);
            ++done;
        });
    while (ready + 1 < count) {
    }
    return seconds([&] {
        ++ready;
        f(0);
        while (done + 1 < count) {
        }
    });
}

}  // namespace bench
