// A grid of your own: the solver asks it for a group's scale, for codes and for values, and knows nothing else of it.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iostream>
#include <random>
#include <utility>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/calib/hessian.hpp>
#include <gptq/solve/solver.hpp>

/// ŵ = ±scale·2^-k: to multiply with such a weight is to shift. Code: k in bits 0 … 2, the sign in bit 3.
struct power_of_two_grid {
    using parameters = float;  // what a group stores: its scale
    unsigned bits = 4;
    std::ptrdiff_t group_size = 64;

    void check() const {}
    float fit(const auto& weights) const {
        float largest = 1e-9F;
        for (const auto w : weights) largest = std::max(largest, static_cast<float>(std::abs(w)));
        return largest;
    }
    auto round(auto v, float scale) const {
        const auto k = -std::floor(std::log2(std::abs(v / scale) * (4 / 3.0F)));  // 3/4 lies halfway from 1 to 1/2
        return std::clamp<decltype(v)>(k, 0, 7) + (v < 0 ? 8.0F : 0.0F);
    }
    auto dequantize(auto code, float scale) const {
        return code < 8 ? scale * std::exp2(-code) : -scale * std::exp2(8 - code);
    }
};

int main() {
    constexpr std::size_t out_features = 32, in_features = 128, tokens = 512;
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> x(tokens * in_features), w(out_features * in_features);
    for (float& v : w) v = 0.05F * normal(random);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = normal(random) + (i > 0 ? 0.8F * x[i - 1] : 0);  // correlated

    gptq::hessian h(in_features);
    h.add(gptq::view_of(x.data(), tokens, in_features));
    const auto factor = gptq::factorize(std::move(h), {.group_size = 64});
    const auto weights = gptq::view_of(w.data(), out_features, in_features);
    const auto [codes, report] = gptq::solve(weights, factor, power_of_two_grid{}, {.compare_nearest = true});

    std::cout << "GPTQ " << report.loss << ", rounding to nearest " << *report.nearest_loss << '\n';
    return report.loss < *report.nearest_loss ? 0 : 1;
}
