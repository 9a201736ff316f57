// How close a whole solve comes to the time that its flops take in BLAS.
//
// Floor: one potrf of n and one gemm of m·n² flops on the same threads, measured in every round beside the solve, since
// a machine's speed drifts. All figures are medians over the rounds.
//   solve       over_floor: (factor + solve) / floor; seconds of the factor and of both
//   variant     over_plain: factor + solve of an option, over the same without it
//   by_size     seconds of the whole solve, of the floor, and of the algorithm as the paper writes it (textbook)
#include <benchmark/benchmark.h>

#include <cstddef>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gptq/gptq.hpp>

#include "textbook_gptq.hpp"
#include "timing.hpp"

namespace {

using bench::median;
using bench::seconds;
using bench::seconds_in_blas;

std::vector<float> random_values(unsigned seed, std::size_t count, float scale) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(count);
    for (float& v : values) v = normal(random);
    return values;
}

/// A layer of random weights, and the Hessian of random inputs.
struct layer {
    std::size_t n, m;
    gptq::threads run;
    std::vector<float> x, w;
    gptq::hessian<float> h;

    layer(std::size_t in, std::size_t out, std::size_t threads)
        : n(in), m(out), run{threads}, x(random_values(1, 2 * n * n, 1)), w(random_values(2, m * n, 0.02F)), h(n) {
        h.add(gptq::view_of(x.data(), 2 * n, n), run);
    }

    /// Seconds of factor and solve together.
    double solve(const gptq::uniform_grid& grid, gptq::act_order order, bool static_groups = false) {
        auto inputs = h;
        auto weights = w;
        double total = 0;
        const auto f = gptq::factorize(std::move(inputs), {.order = order, .group_size = grid.group_size}, run);
        total += seconds([&] {
            const auto solved = gptq::solve_in_place(gptq::view_of(weights.data(), m, n), f, grid,
                                                     {.static_groups = static_groups}, run);
            if (!(solved.report.loss > 0)) throw std::runtime_error("the loss is not positive");
        });
        return total + f.seconds;
    }

    /// Seconds of potrf(n) and a gemm of m·n² flops.
    double floor() {
        auto lower = h.to_matrix();
        for (std::size_t i = 0; i < n; ++i) lower(i, i) += 1;
        std::vector<float> product(m * n / 2, 1.0F);
        return seconds_in_blas(run.count, [&] {
            if (!gptq::blas::potrf(n, lower.data(), n)) throw std::runtime_error("potrf failed");
            gptq::blas::gemm(gptq::blas::plain, gptq::blas::plain, m, n / 2, n, 1.0F, w.data(), n, x.data(), n, 0.0F,
                             product.data(), n / 2);
        });
    }

    double textbook(const gptq::uniform_grid& grid) {
        const auto square = h.to_matrix();
        std::vector<float> damped(square.begin(), square.end());
        double mean = 0;
        for (std::size_t i = 0; i < n; ++i) mean += static_cast<double>(damped[i * n + i]) / static_cast<double>(n);
        for (std::size_t i = 0; i < n; ++i) damped[i * n + i] += static_cast<float>(0.01 * mean);
        auto weights = w;
        return seconds_in_blas(run.count, [&] { bench::textbook_gptq(m, n, weights, damped, grid); });
    }
};

std::size_t argument(const benchmark::State& state, int i) { return static_cast<std::size_t>(state.range(i)); }

void solve(benchmark::State& state) {
    layer l(argument(state, 0), argument(state, 1), argument(state, 2));
    std::vector<double> whole, factor, floor;
    for (auto _ : state) {
        auto inputs = l.h;
        auto weights = l.w;
        const auto f = gptq::factorize(std::move(inputs), {.order = gptq::act_order::none}, l.run);
        const auto q =
            gptq::solve_in_place(gptq::view_of(weights.data(), l.m, l.n), f, gptq::uniform_grid{}, {}, l.run);
        factor.push_back(f.seconds);
        whole.push_back(f.seconds + q.report.seconds);
        floor.push_back(l.floor());
    }
    state.counters["factor"] = median(factor);
    state.counters["whole"] = median(whole);
    state.counters["over_floor"] = median(whole) / median(floor);
}
BENCHMARK(solve)
    ->ArgNames({"in", "out", "threads"})
    ->ArgsProduct({{4096}, {4096, 11008}, {1, 2}})
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void variant(benchmark::State& state, const gptq::uniform_grid& grid, gptq::act_order order, bool static_groups) {
    layer l(argument(state, 0), argument(state, 0), argument(state, 1));
    std::vector<double> plain, changed;
    for (auto _ : state) {
        plain.push_back(l.solve({.sym = false}, gptq::act_order::none));
        changed.push_back(l.solve(grid, order, static_groups));
    }
    state.counters["over_plain"] = median(changed) / median(plain);
}
using gptq::act_order;
#define GPTQ_VARIANT(name, ...)                   \
    BENCHMARK_CAPTURE(variant, name, __VA_ARGS__) \
        ->ArgNames({"in", "threads"})             \
        ->ArgsProduct({{4096}, {1, 2}})           \
        ->Iterations(3)                           \
        ->Unit(benchmark::kMillisecond)           \
        ->UseRealTime()
GPTQ_VARIANT(symmetric, {}, act_order::none, false);
GPTQ_VARIANT(act_order, {.sym = false}, act_order::descending, false);
GPTQ_VARIANT(act_order_static_groups, {.sym = false}, act_order::descending, true);
GPTQ_VARIANT(group_aware_order, {.sym = false}, act_order::group_aware, false);
GPTQ_VARIANT(group_32, {.group_size = 32, .sym = false}, act_order::none, false);
GPTQ_VARIANT(whole_row, {.group_size = -1, .sym = false}, act_order::none, false);
GPTQ_VARIANT(group_1024, {.group_size = 1024, .sym = false}, act_order::none, false);
GPTQ_VARIANT(mse_search, {.sym = false, .search = gptq::scale_search::mse}, act_order::none, false);

void by_size(benchmark::State& state) {
    layer l(argument(state, 0), argument(state, 0), argument(state, 1));
    const gptq::uniform_grid grid{};
    std::vector<double> ours, floor, textbook;
    for (auto _ : state) {
        ours.push_back(l.solve(grid, act_order::none));
        floor.push_back(l.floor());
        textbook.push_back(l.textbook(grid));
    }
    state.counters["ours"] = median(ours);
    state.counters["floor"] = median(floor);
    state.counters["textbook"] = median(textbook);
}
BENCHMARK(by_size)
    ->ArgNames({"in", "threads"})
    ->ArgsProduct({{256, 512, 1024, 2048, 4096}, {1, 2}})
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
