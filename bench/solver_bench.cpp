// How close a whole solve comes to the time that its flops take in BLAS.
//
// Floor: one potrf of n and one gemm of m·n² flops on the same threads, measured in every round beside the solve, since
// a machine's speed drifts. `over_floor` is the ratio of the medians, 1 being the floor; `factor` and `solve` are
// median seconds. The Hessian has its own floor, ssyrk: `of_ssyrk` is the share of its rate that accumulation reaches.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

#include <gptq/gptq.hpp>

namespace {

std::vector<float> random_values(unsigned seed, std::size_t count, float scale) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(count);
    for (float& v : values) v = normal(random);
    return values;
}

template <class F>
double seconds(F&& f) {
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

void set_blas_threads(std::size_t count) {
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(static_cast<int>(count));
}

void solve(benchmark::State& state) {
    const auto n = static_cast<std::size_t>(state.range(0)), m = static_cast<std::size_t>(state.range(1));
    const gptq::threads run{static_cast<std::size_t>(state.range(2))};
    const auto x = random_values(1, 2 * n * n, 1), w = random_values(2, m * n, 0.02F);
    gptq::hessian h(n);
    h.add(gptq::view_of(x.data(), 2 * n, n), run);
    auto spd = h.to_matrix();
    for (std::size_t i = 0; i < n; ++i) spd(i, i) += 1;
    std::vector<float> product(m * n / 2);
    std::vector<double> factor_times, solve_times, floor_times;
    for (auto _ : state) {
        gptq::factor<float> f;
        factor_times.push_back(seconds([&] { f = gptq::factorize(h, {.order = gptq::act_order::none}, run); }));
        const auto weights = gptq::view_of(w.data(), m, n);
        solve_times.push_back(seconds([&] {
            const auto solved = gptq::solve(weights, f, gptq::uniform_grid{}, {}, run);
            if (!(solved.report.loss > 0)) state.SkipWithError("the loss is not positive");
        }));
        auto lower = spd;
        set_blas_threads(run.count);
        floor_times.push_back(seconds([&] {
            if (!gptq::blas::potrf(n, lower.data(), n)) state.SkipWithError("potrf failed");
            gptq::blas::gemm(gptq::blas::plain, gptq::blas::plain, m, n / 2, n, 1.0F, w.data(), n, x.data(), n, 0.0F,
                             product.data(), n / 2);
        }));
        set_blas_threads(1);
    }
    state.counters["factor"] = median(factor_times);
    state.counters["solve"] = median(solve_times);
    state.counters["over_floor"] = (median(factor_times) + median(solve_times)) / median(floor_times);
}
BENCHMARK(solve)
    ->ArgNames({"in", "out", "threads"})
    ->ArgsProduct({{4096}, {4096, 11008}, {1, 2}})
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

template <class T>
void hessian(benchmark::State& state) {
    const auto n = static_cast<std::size_t>(state.range(0)), tokens = std::size_t{2048};
    const gptq::threads run{static_cast<std::size_t>(state.range(1))};
    const auto x = random_values(1, tokens * n, 1);
    std::vector<T> stored(x.size());
    std::ranges::transform(x, stored.begin(), [](float v) { return gptq::round_to<T>(v); });
    gptq::hessian h(n);
    auto sum = h.to_matrix();
    std::vector<double> ours, floor;
    for (auto _ : state) {
        ours.push_back(seconds([&] { h.add(gptq::view_of(stored.data(), tokens, n), run); }));
        set_blas_threads(run.count);
        floor.push_back(seconds(
            [&] { gptq::blas::syrk(gptq::blas::transposed, n, tokens, 1.0F, x.data(), n, 1.0F, sum.data(), n); }));
        set_blas_threads(1);
    }
    state.counters["of_ssyrk"] = median(floor) / median(ours);
}
BENCHMARK_TEMPLATE(hessian, float)
    ->ArgNames({"in", "threads"})
    ->ArgsProduct({{4096}, {1, 2}})
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_TEMPLATE(hessian, gptq::f16)
    ->ArgNames({"in", "threads"})
    ->ArgsProduct({{4096}, {1, 2}})
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_TEMPLATE(hessian, gptq::bf16)
    ->ArgNames({"in", "threads"})
    ->ArgsProduct({{4096}, {1, 2}})
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
