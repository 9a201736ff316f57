// How close the accumulation of a Hessian comes to the rate of BLAS.
//
// The floor is one ssyrk of the whole batch, from float inputs, on as many threads of the BLAS's own: its time is
// measured in every round beside ours, since a machine's speed drifts. `of_ssyrk` is the ratio of the medians, 1 being
// the floor's own rate.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include <gptq/calib/hessian.hpp>

#include "timing.hpp"

namespace {

/// Whether some elements of H are what a sum in double says.
template <class T>
bool agrees(const gptq::hessian<float>& h, const std::vector<T>& x) {
    const std::size_t n = h.in_features();
    for (const auto& [i, j] : {std::pair{n - 1, n - 1}, {n - 1, std::size_t{0}}, {n / 2, n / 3}}) {
        double sum = 0, magnitude = 0;
        for (std::size_t t = 0; t < h.tokens(); ++t) {
            const double term =
                static_cast<double>(gptq::to_float(x[t * n + i])) * static_cast<double>(gptq::to_float(x[t * n + j]));
            sum += term;
            magnitude += std::abs(term);
        }
        if (!(std::abs(static_cast<double>(h.sum_row(i)[j]) - sum) <= 0x1p-23 * 64 * magnitude)) return false;
    }
    return true;
}

template <class T>
void hessian(benchmark::State& state) {
    const auto n = static_cast<std::size_t>(state.range(0)), tokens = std::size_t{2048};
    const gptq::threads run{static_cast<std::size_t>(state.range(1))};
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> x(tokens * n);
    for (float& v : x) v = normal(random);
    std::vector<T> stored(x.size());
    std::ranges::transform(x, stored.begin(), [](float v) { return gptq::round_to<T>(v); });
    gptq::hessian h(n);
    h.add(gptq::view_of(stored.data(), tokens, n), run);
    if (!agrees(h, stored)) return state.SkipWithError("the sums are wrong");
    auto sum = h.to_matrix();
    std::vector<double> ours, floor;
    for (auto _ : state) {
        ours.push_back(bench::seconds([&] { h.add(gptq::view_of(stored.data(), tokens, n), run); }));
        floor.push_back(bench::seconds_in_blas(run.count, [&] {
            gptq::blas::syrk(gptq::blas::transposed, n, tokens, 1.0F, x.data(), n, 1.0F, sum.data(), n);
        }));
    }
    state.counters["of_ssyrk"] = bench::median(floor) / bench::median(ours);
}

void shapes(benchmark::internal::Benchmark* b) {
    b->ArgNames({"in", "threads"})
        ->ArgsProduct({{4096}, {1, 2}})
        ->Iterations(9)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
}
BENCHMARK_TEMPLATE(hessian, float)->Apply(shapes);
BENCHMARK_TEMPLATE(hessian, gptq::f16)->Apply(shapes);
BENCHMARK_TEMPLATE(hessian, gptq::bf16)->Apply(shapes);

}  // namespace
