// What the benchmarks of the quantizing leg measure with.
#pragma once

#include <chrono>
#include <cstddef>

#include <gptq/calib/blas.hpp>

#include "clock.hpp"

namespace bench {

/// Seconds of f with BLAS on `count` threads. Then waits until OpenBLAS's threads, which go on spinning for a while,
/// are asleep.
template <class F>
double seconds_in_blas(std::size_t count, F&& f) {
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(static_cast<int>(count));
    const double result = seconds(f);
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
    if (count > 1) wait_busily(std::chrono::milliseconds(100));
    return result;
}

}  // namespace bench
