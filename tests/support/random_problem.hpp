// Random layers to quantize: every shape, kind of input and option that a solve may meet. Each is drawn from one
// number, its seed, which is all that is needed to see it again.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <iostream>
#include <ostream>
#include <random>
#include <utility>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/solve/options.hpp>

#include "support/catch.hpp"
#include "support/tables.hpp"

namespace support {

/// The seeds first … last, unless the environment variable GPTQ_TEST_SEED names others: "17", or "1-20000".
inline std::pair<std::uint32_t, std::uint32_t> chosen_seeds(std::uint32_t first, std::uint32_t last) {
    const char* const chosen = std::getenv("GPTQ_TEST_SEED");
    if (chosen == nullptr) return {first, last};
    char* end = nullptr;
    const auto begin = static_cast<std::uint32_t>(std::strtoul(chosen, &end, 10));
    return {begin, *end == '-' ? static_cast<std::uint32_t>(std::strtoul(end + 1, nullptr, 10)) : begin};
}

/// Calls check(seed) for seeds 1 … count, or for those chosen. A failure names its seed.
template <class Check>
void for_each_seed(std::uint32_t count, Check&& check) {
    const auto [first, last] = chosen_seeds(1, count);
    std::cout << "seeds " << first << " to " << last << ": " << Catch::getResultCapture().getCurrentTestName() << '\n';
    for (std::uint32_t seed = first; seed <= last; ++seed) {
        INFO("to run this case alone: GPTQ_TEST_SEED=" << seed);
        check(seed);
    }
}

/// A whole number of [least, most].
inline std::size_t between(std::mt19937& random, std::size_t least, std::size_t most) {
    return least + random() % (most - least + 1);
}

inline bool one_in(std::mt19937& random, std::size_t n) { return random() % n == 0; }

template <class T>
T pick(std::mt19937& random, std::initializer_list<T> values) {
    return values.begin()[random() % values.size()];
}

/// What is special about a layer's inputs.
struct input_kind {
    double correlation = 0;   ///< of neighbouring features
    bool few_tokens = false;  ///< no more than features
    bool duplicated = false;  ///< some features equal others
    bool dead = false;        ///< some features are 0 on every token
    bool outliers = false;    ///< some features are 10⁴ times the others
};

inline input_kind random_kind(std::mt19937& random) {
    return {.correlation = pick(random, {0.0, 0.6, 0.99}),
            .few_tokens = one_in(random, 4),
            .duplicated = one_in(random, 6),
            .dead = one_in(random, 6),
            .outliers = one_in(random, 6)};
}

/// (2/T)·XᵀX of random inputs of a kind, with features of different sizes.
inline table random_hessian(std::mt19937& random, std::size_t n, const input_kind& kind) {
    const std::size_t tokens = kind.few_tokens ? between(random, 1, n) : between(random, n + 1, 4 * n + 1);
    std::normal_distribution<double> normal;
    std::vector<double> size(n);
    for (double& s : size) s = std::exp(normal(random));
    for (double& s : size)
        if (kind.outliers && one_in(random, 10)) s *= 1e4;
    const double fresh = std::sqrt(1 - kind.correlation * kind.correlation);
    table x(n, tokens);  // features are rows
    for (std::size_t t = 0; t < tokens; ++t) {
        double previous = normal(random);
        for (std::size_t i = 0; i < n; ++i)
            x(i, t) = size[i] * (previous = kind.correlation * previous + fresh * normal(random));
    }
    for (std::size_t i = 0; i < n; ++i) {
        const bool copied = kind.duplicated && one_in(random, 4), dead = kind.dead && one_in(random, 4);
        const std::size_t source = copied ? between(random, 0, n - 1) : i;
        for (std::size_t t = 0; t < tokens; ++t) x(i, t) = dead ? 0 : x(source, t);
    }
    table h(n, n);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = 0;
            for (std::size_t t = 0; t < tokens; ++t) sum += x(i, t) * x(j, t);
            h(i, j) = h(j, i) = 2 * sum / static_cast<double>(tokens);
        }
    return h;
}

/// A layer, and everything that a caller may choose about quantizing it.
struct random_problem {
    table h, w;
    gptq::uniform_grid grid;
    gptq::factor_options factoring;
    gptq::solve_options solving;
};

inline gptq::uniform_grid random_grid(std::mt19937& random, std::size_t n) {
    const auto any = static_cast<std::ptrdiff_t>(between(random, 1, n + 3));
    return {.bits = static_cast<unsigned>(between(random, 2, 8)),
            .group_size = pick(random, {gptq::per_row, std::ptrdiff_t{8}, std::ptrdiff_t{16}, any, any}),
            .sym = one_in(random, 2),
            .scales = pick(random, {gptq::scale_type::f16, gptq::scale_type::bf16, gptq::scale_type::f32}),
            .search = one_in(random, 8) ? gptq::scale_search::mse : gptq::scale_search::min_max};
}

inline random_problem problem_of(std::uint32_t seed) {
    std::mt19937 random(seed);
    const std::size_t n = one_in(random, 8) ? 1 : between(random, 1, 48);
    const std::size_t rows = one_in(random, 8) ? 1 : between(random, 1, one_in(random, 8) ? 150 : 32);
    random_problem p;
    p.h = random_hessian(random, n, random_kind(random));
    p.w = random_table(random, rows, n);
    p.grid = random_grid(random, n);
    p.factoring = {
        .damp_percent = pick(random, {0.0, 1e-3, 0.01, 0.01, 0.1, 1.0}),
        .order = pick(random, {gptq::act_order::none, gptq::act_order::descending, gptq::act_order::group_aware}),
        .group_size = p.grid.group_size};
    p.solving = {.block_size = pick<std::size_t>(random, {1, 5, 8, 16, 32, 128}),
                 .static_groups = one_in(random, 3),
                 .relative_error = one_in(random, 3)};
    return p;
}

inline std::ostream& operator<<(std::ostream& out, const random_problem& p) {
    constexpr const char* orders[] = {"natural order", "descending", "group-aware"};
    constexpr const char* scales[] = {"f16", "bf16", "f32"};
    return out << p.w.rows << " x " << p.w.cols << ", " << p.grid.bits << " bits, group " << p.grid.group_size
               << (p.grid.sym ? ", sym, " : ", asym, ") << scales[static_cast<int>(p.grid.scales)] << " scales"
               << (p.grid.search == gptq::scale_search::mse ? ", searched" : "") << ", "
               << orders[static_cast<int>(p.factoring.order)] << ", damping " << p.factoring.damp_percent << ", block "
               << p.solving.block_size << (p.solving.static_groups ? ", static groups" : "");
}

}  // namespace support
