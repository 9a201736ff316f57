// How close y = Ŵ·x comes to the speed of reading Ŵ.
//
// Weights rotate through 256 MB, so every call reads them from memory. Each call is followed by a plain sum over as
// many bytes of other weights, by as many threads: `of_bandwidth` is that sum's median time over the multiplication's,
// 1 being the wall. `us` is the median call, activations quantized included; google-benchmark's own columns are means,
// which other programs on the machine disturb. A case first compares its result with a product in double.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <gptq/runtime.hpp>

namespace {

constexpr std::size_t rotating_bytes = 256'000'000;

struct shape {
    std::size_t out, in;
};

gptq::packed_linear random_layer(shape s, unsigned bits, std::size_t group_size) {
    std::mt19937 random(1);
    gptq::packed_linear p;
    p.out_features = s.out;
    p.in_features = s.in;
    p.groups = s.in / group_size;
    p.bits = bits;
    std::vector<std::uint32_t> qweight(gptq::words_for(s.in, bits) * s.out);
    p.qzeros.resize(p.groups * gptq::words_for(s.out, bits));
    p.scales.resize(p.groups * s.out);
    p.g_idx.resize(s.in);
    for (auto& word : qweight) word = static_cast<std::uint32_t>(random());
    p.qweight = std::move(qweight);
    for (auto& word : p.qzeros) word = static_cast<std::uint32_t>(random());
    for (auto& scale : p.scales) scale = static_cast<float>(1 + random() % 64) * 0x1p-10F;
    for (std::size_t i = 0; i < s.in; ++i) p.g_idx[i] = static_cast<std::int32_t>(i / group_size);
    return p;
}

std::vector<float> random_activations(std::size_t count) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    std::vector<float> x(count);
    for (auto& v : x) v = normal(random);
    return x;
}

/// |y - y'| / |y'| over the first outputs, y' in double.
double relative_error(const gptq::packed_linear& p, std::span<const float> x, std::span<const float> y) {
    double error = 0, norm = 0;
    for (std::size_t o = 0; o < std::min<std::size_t>(p.out_features, 256); ++o) {
        double exact = 0;
        for (std::size_t i = 0; i < x.size(); ++i) exact += double{gptq::value_at(p, o, i)} * double{x[i]};
        error += (double{y[o]} - exact) * (double{y[o]} - exact);
        norm += exact * exact;
    }
    return std::sqrt(error / norm);
}

double median(std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
}

template <class F>
double seconds(F&& f) {
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Reads memory and does next to nothing else.
void read_all(std::span<const gptq::line> memory, gptq::thread_pool& pool) {
    const std::size_t threads = pool.concurrency();
    pool.for_each(threads, [&](std::size_t t) {
        gptq::line sums;
        for (std::size_t i = memory.size() * t / threads; i < memory.size() * (t + 1) / threads; ++i)
            for (std::size_t w = 0; w < gptq::tile_outputs; ++w) sums.word[w] += memory[i].word[w];
        std::uint32_t sum = 0;
        for (const std::uint32_t word : sums.word) sum += word;
        benchmark::DoNotOptimize(sum);
    });
}

/// Alternates multiply(k), k counting up for ever, and reading `bytes` bytes.
template <class F>
void measure(benchmark::State& state, std::size_t bytes, gptq::thread_pool& pool, F&& multiply) {
    const std::size_t lines = bytes / sizeof(gptq::line);
    const std::vector<gptq::line> memory(std::max(rotating_bytes / sizeof(gptq::line), lines), {{1}});
    std::vector<double> times, reads;
    std::size_t k = 0;
    for (auto _ : state) {
        times.push_back(seconds([&] { multiply(k); }));
        state.SetIterationTime(times.back());
        const std::size_t place = k % (memory.size() / lines);
        reads.push_back(seconds([&] { read_all(std::span(memory).subspan(place * lines, lines), pool); }));
        ++k;
    }
    state.counters["us"] = median(times) * 1e6;
    state.counters["GB/s"] = static_cast<double>(bytes) / median(times) * 1e-9;
    state.counters["of_bandwidth"] = median(reads) / median(times);
}

/// ranges: out, in, threads
template <unsigned Bits, int Planes, std::size_t GroupSize>
void gemv(benchmark::State& state) {
    const shape s{static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1))};
    gptq::thread_pool pool(static_cast<std::size_t>(state.range(2)));
    const auto packed = random_layer(s, Bits, GroupSize);
    const gptq::linear layer(packed);
    const auto x = random_activations(s.in);
    std::vector<float> y(s.out);

    gptq::gemv<gptq::digits<Planes>>(layer, x, y, pool);
    const double error = relative_error(packed, x, y);
    constexpr double expected[] = {2e-2, 1e-4, 1e-6};
    if (!(error < expected[Planes - 1])) return state.SkipWithError("the result differs from the product in double");

    const std::vector<gptq::linear> layers(rotating_bytes / layer.bytes() + 1, layer);
    measure(state, layer.bytes(), pool, [&](std::size_t k) {
        gptq::gemv<gptq::digits<Planes>>(layers[k % layers.size()], x, y, pool);
        benchmark::ClobberMemory();
    });
    state.counters["rel_error"] = error;
}

/// The same product from float weights, for comparison: it reads 32 bits a weight.
void sgemv(benchmark::State& state) {
    const shape s{static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1))};
    gptq::thread_pool pool(static_cast<std::size_t>(state.range(2)));
    const std::size_t size = s.out * s.in, copies = rotating_bytes / (size * sizeof(float)) + 1;
    const std::vector<float> w(size * copies, 0.5F);
    const auto x = random_activations(s.in);
    std::vector<float> y(s.out);
    const auto row_times_x = [&](const float* row) {
        float sums[32] = {};
        for (std::size_t i = 0; i < s.in; i += 32)
            for (std::size_t l = 0; l < 32; ++l) sums[l] += row[i + l] * x[i + l];
        float sum = 0;
        for (const float partial : sums) sum += partial;
        return sum;
    };
    measure(state, size * sizeof(float), pool, [&](std::size_t k) {
        const float* weights = w.data() + k % copies * size;
        pool.for_each(pool.concurrency(), [&](std::size_t t) {
            for (std::size_t o = s.out * t / pool.concurrency(); o < s.out * (t + 1) / pool.concurrency(); ++o)
                y[o] = row_times_x(weights + o * s.in);
        });
        benchmark::ClobberMemory();
    });
}

void shapes(benchmark::internal::Benchmark* b) {
    b->ArgNames({"out", "in", "threads"})->UseManualTime()->Unit(benchmark::kMicrosecond);
    for (const std::int64_t threads : {1, 2})
        for (const std::int64_t out : {4096, 11008}) b->Args({out, 4096, threads});
}

BENCHMARK(gemv<4, 1, 128>)->Apply(shapes);
BENCHMARK(gemv<4, 2, 128>)->Apply(shapes);
BENCHMARK(gemv<4, 3, 128>)->Apply(shapes);
BENCHMARK(gemv<4, 2, 32>)->Apply(shapes);
BENCHMARK(gemv<3, 2, 128>)->Apply(shapes);
BENCHMARK(gemv<2, 2, 128>)->Apply(shapes);
BENCHMARK(gemv<8, 2, 128>)->Apply(shapes);
BENCHMARK(sgemv)->Apply(shapes);

}  // namespace

BENCHMARK_MAIN();
