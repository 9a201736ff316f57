// What the benchmarks of the kernels measure: random layers that no cache holds, a product in double to check against,
// and two references for every round: how fast memory is read, and how fast the cores multiply.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gptq/runtime.hpp>

#include "clock.hpp"

namespace bench {

/// Weights rotate through so many bytes, so that every call reads them from memory.
inline constexpr std::size_t rotating_bytes = 256'000'000;

struct layer_shape {
    unsigned bits;
    std::size_t group_size, out, in;

    [[nodiscard]] double flops(std::size_t tokens) const {
        return 2 * static_cast<double>(tokens) * static_cast<double>(out) * static_cast<double>(in);
    }
    friend bool operator==(const layer_shape&, const layer_shape&) = default;
};

inline gptq::packed_linear random_layer(const layer_shape& s) {
    std::mt19937 random(1);
    const auto words = [&](std::size_t count) {
        std::vector<std::uint32_t> v(count);
        for (auto& word : v) word = static_cast<std::uint32_t>(random());
        return v;
    };
    gptq::packed_linear p;
    p.out_features = s.out;
    p.in_features = s.in;
    p.groups = s.in / s.group_size;
    p.bits = s.bits;
    p.qweight = words(gptq::words_for(s.in, s.bits) * s.out);
    p.qzeros = words(p.groups * gptq::words_for(s.out, s.bits));
    p.scales.resize(p.groups * s.out);
    for (auto& scale : p.scales) scale = static_cast<float>(1 + random() % 64) * 0x1p-10F;
    p.g_idx = gptq::natural_g_idx(s.in, s.group_size);
    return p;
}

/// The same layer in memory of its own.
inline gptq::packed_linear copy_of(const gptq::packed_linear& p) {
    gptq::packed_linear copy = p;
    copy.qweight = std::vector<std::uint32_t>(p.qweight.begin(), p.qweight.end());
    return copy;
}

/// Copies of a layer, as many as rotate; Layer is what multiplies.
template <class Layer>
std::vector<Layer> rotating_layers(const gptq::packed_linear& p) {
    std::vector<Layer> layers;
    do {
        layers.emplace_back(copy_of(p));
    } while (layers.size() * layers[0].bytes() < rotating_bytes);
    return layers;
}

inline std::vector<float> random_normals(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> x(count);
    for (auto& v : x) v = normal(random);
    return x;
}

/// |y - y'| / |y'| where y' is the product in double of x [tokens, in] with some rows of a matrix.
class product_in_double {
public:
    /// @param rows  [outputs, in]: what the first outputs of y are made with
    product_in_double(std::span<const double> rows, std::span<const float> x, std::size_t in)
        : outputs_(rows.size() / in), exact_(x.size() / in * outputs_) {
        for (std::size_t i = 0; i < exact_.size(); ++i)
            for (std::size_t c = 0; c < in; ++c)
                exact_[i] += rows[i % outputs_ * in + c] * double{x[i / outputs_ * in + c]};
    }

    /// @param y  [tokens, out], where there may be fewer tokens than in x
    [[nodiscard]] double relative_error(std::span<const float> y, std::size_t out) const {
        double error = 0, norm = 0;
        for (std::size_t t = 0; t < y.size() / out; ++t)
            for (std::size_t o = 0; o < outputs_; ++o) {
                const double exact = exact_[t * outputs_ + o];
                error += (double{y[t * out + o]} - exact) * (double{y[t * out + o]} - exact);
                norm += exact * exact;
            }
        return std::sqrt(error / norm);
    }

private:
    std::size_t outputs_;
    std::vector<double> exact_;  ///< [tokens, outputs]
};

/// The first rows of a layer's weights.
inline std::vector<double> some_rows(const gptq::packed_linear& p) {
    std::vector<double> rows(64 * p.in_features);
    for (std::size_t i = 0; i < rows.size(); ++i)
        rows[i] = double{gptq::value_at(p, i / p.in_features, i % p.in_features)};
    return rows;
}

/// A relative error that shows an output, or a digit, to be wrong.
inline double too_large_an_error(int digits) { return digits == 1 ? 2e-2 : digits == 2 ? 1e-4 : 1e-6; }

/// As many numbers as this build's instruction set adds at once.
template <class T>
struct lanes {
    using type [[gnu::vector_size(__BIGGEST_ALIGNMENT__)]] = T;
    static constexpr std::size_t count = sizeof(type) / sizeof(T);
};

/// Reads memory, of the kind that layers are in, and does next to nothing else: the wall that kernels run against.
class reader {
public:
    reader() { std::fill_n(memory_.get(), rotating_bytes, std::byte{1}); }

    /// Seconds to read the next so many bytes, divided among threads.
    double seconds_to_read(std::size_t bytes, std::size_t threads) {
        const std::size_t size = bytes / sizeof(numbers) / threads;
        if (next_ + size * threads > rotating_bytes / sizeof(numbers)) next_ = 0;
        const numbers* const first =
            reinterpret_cast<const numbers*>(memory_.get()) + std::exchange(next_, next_ + size * threads);
        return seconds_side_by_side(threads, [=](std::size_t t) { sum(first + size * t, size); });
    }

private:
    using numbers = lanes<std::uint32_t>::type;

    static void sum(const numbers* first, std::size_t size) {
        constexpr std::size_t at_once = 8;
        numbers sums[at_once] = {};
        for (std::size_t i = 0; i + at_once <= size; i += at_once)
            for (std::size_t s = 0; s < at_once; ++s) sums[s] += first[i + s];
        for (numbers& partial : sums) benchmark::DoNotOptimize(partial);
    }

    std::shared_ptr<std::byte> memory_ = gptq::detail::streamed_memory(rotating_bytes);
    std::size_t next_ = 0;
};

/// Multiplies and adds in registers, which no memory slows down: what drifts here is the machine. 12 sums hide the
/// latency of a fused multiply-add.
/// @returns  GFLOP/s of all threads
inline double rate_in_registers(std::size_t threads) {
    using numbers = lanes<float>::type;
    constexpr std::size_t sums = 12, steps = 100'000;
    const double time = seconds_side_by_side(threads, [](std::size_t) {
        numbers sum[sums] = {}, factor = {}, term = {};
        benchmark::DoNotOptimize(factor);
        benchmark::DoNotOptimize(term);
        for (std::size_t i = 0; i < steps; ++i)
            for (std::size_t s = 0; s < sums; ++s) sum[s] = sum[s] * factor + term;
        for (std::size_t s = 0; s < sums; ++s) benchmark::DoNotOptimize(sum[s]);
    });
    return static_cast<double>(2 * sums * steps * lanes<float>::count * threads) / time * 1e-9;
}

/// As part of a benchmark's name.
inline std::string name_of(const layer_shape& s) {
    return "/bits:" + std::to_string(s.bits) + "/group:" + std::to_string(s.group_size) +
           "/out:" + std::to_string(s.out) + "/in:" + std::to_string(s.in);
}

/// Counters: how many times as fast `ours` is as `theirs`, by the medians; and the quartiles of the rounds' ratios.
inline void compare(benchmark::State& state, const std::string& name, const std::vector<double>& theirs,
                    const std::vector<double>& ours) {
    std::vector<double> ratios(ours.size());
    for (std::size_t i = 0; i < ours.size(); ++i) ratios[i] = theirs[i] / ours[i];
    state.counters[name] = median(theirs) / median(ours);
    state.counters[name + "_low"] = quartile(ratios, 1);
    state.counters[name + "_high"] = quartile(ratios, 3);
}

/// Runs the benchmarks that were registered.
inline int run(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}

}  // namespace bench
