// What the benchmarks of the quantizing leg measure with.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include <gptq/calib/blas.hpp>

namespace bench {

template <class F>
double seconds(F&& f) {
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Seconds of f with BLAS on `count` threads. Then waits until OpenBLAS's threads, which go on spinning for a while,
/// are asleep; it waits busily, since a core that rests is slow for a while afterwards.
template <class F>
double seconds_in_blas(std::size_t count, F&& f) {
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(static_cast<int>(count));
    const double result = seconds(f);
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(count > 1 ? 100 : 0);
    while (std::chrono::steady_clock::now() < end) {
    }
    return result;
}

inline double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

}  // namespace bench
