// Every kind of grid that the library has, for tests of what all of them promise.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gptq/grid/block_grid.hpp>
#include <gptq/grid/codebook.hpp>
#include <gptq/grid/uniform_grid.hpp>

namespace support {

/// Calls f(name, grid) for each.
template <class F>
void for_each_grid(F&& f) {
    for (const unsigned bits : {2U, 3U, 4U, 5U, 6U, 8U})
        for (const bool sym : {true, false})
            for (const auto scales : {gptq::scale_type::f16, gptq::scale_type::bf16, gptq::scale_type::f32})
                f("uniform, bits " + std::to_string(bits) + (sym ? ", symmetric" : ", asymmetric"),
                  gptq::uniform_grid{.bits = bits, .sym = sym, .scales = scales});
    f("nf4", gptq::nf4());
    f("fp4_e2m1", gptq::fp4_e2m1());
    f("ternary", gptq::ternary());
    f("a table without 0 and out of order", gptq::codebook{std::array{0.5F, -2.0F, 1.25F, -0.75F, 3.0F}});
    f("a table without negative values", gptq::codebook{std::array{0.0F, 1.0F, 0.25F, 0.5F}});
    gptq::codebook<256> squares{.scales = gptq::scale_type::f32};
    for (int i = 0; i < 256; ++i)
        squares.values[static_cast<std::size_t>(i)] = static_cast<float>(i * std::abs(i - 128));
    f("a table of 256 values", squares);
    f("q4_0", gptq::q4_0_grid{});
    f("q4_1", gptq::q4_1_grid{});
    f("q5_0", gptq::q5_0_grid{});
    f("q5_1", gptq::q5_1_grid{});
    f("q8_0", gptq::q8_0_grid{});
}

template <class T = float>
std::vector<T> random_group(std::mt19937& random, std::size_t size, double scale = 1) {
    std::normal_distribution<double> normal(0, scale);
    std::vector<T> group(size);
    for (T& w : group) w = static_cast<T>(normal(random));
    return group;
}

/// A grid's parameters for a group.
template <class T, class G>
auto fit(const G& grid, const std::vector<T>& group, const std::vector<T>& importance = {}) {
    return grid.fit(std::span<const T>(group), std::span<const T>(importance));
}

/// The value that a grid rounds v to.
template <class T, class G>
T quantize(const G& grid, T v, const typename G::parameters& p) {
    return grid.dequantize(grid.round(v, p), p);
}

/// Σ h·|w - ŵ|^norm in double.
template <class T, class G>
double group_error(const G& grid, const std::vector<T>& group, const typename G::parameters& p, double norm,
                   const std::vector<T>& importance = {}) {
    double sum = 0;
    for (std::size_t i = 0; i < group.size(); ++i) {
        const double h = importance.empty() ? 1.0 : static_cast<double>(importance[i]);
        const double miss = std::abs(static_cast<double>(group[i]) - static_cast<double>(quantize(grid, group[i], p)));
        sum += h * std::pow(miss, norm);
    }
    return sum;
}

}  // namespace support
