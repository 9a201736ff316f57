// One layer all the way: calibration inputs → Hessian → factor → codes → packed words → y = Ŵ·x. Then its error on
// inputs that calibration has not seen, beside that of rounding every weight to the nearest value.
#include <cmath>
#include <cstddef>
#include <iostream>
#include <random>
#include <utility>
#include <vector>

#include <gptq/gptq.hpp>

namespace {

constexpr std::size_t in_features = 512, out_features = 256;
std::mt19937 random_bits(1);

/// [rows, in_features], neighbouring columns correlated: what quantization can make use of, and real inputs are.
gptq::matrix<float> correlated(std::size_t rows, float correlation) {
    std::normal_distribution<float> normal;
    auto x = gptq::matrix<float>::from_shape({rows, in_features});
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < in_features; ++c)
            x(r, c) = normal(random_bits) + (c > 0 ? correlation * x(r, c - 1) : 0);
    return x;
}

double relative_error(const gptq::matrix<float>& w, const std::vector<float>& x, const std::vector<float>& y) {
    double wrong = 0, all = 0;
    for (std::size_t o = 0; o < out_features; ++o) {
        double exact = 0;
        for (std::size_t i = 0; i < in_features; ++i) exact += static_cast<double>(w(o, i)) * static_cast<double>(x[i]);
        wrong += std::pow(static_cast<double>(y[o]) - exact, 2);
        all += exact * exact;
    }
    return std::sqrt(wrong / all);
}

}  // namespace

int main() {
    const auto w = correlated(out_features, 0);
    const std::vector<gptq::matrix<float>> calibration = {correlated(300, 0.9F), correlated(500, 0.9F)};
    const auto unseen = correlated(1, 0.9F);
    const std::vector<float> x(unseen.begin(), unseen.end());
    std::vector<float> y(out_features), nearest(out_features);

    gptq::hessian h(in_features);
    for (const auto& batch : calibration) h.add(batch);  // [tokens, in_features]; f32, f16, bf16, any strides
    const auto factor = gptq::factorize(std::move(h));   // damping, column order, one Cholesky
    const auto [codes, report] = gptq::solve(w, factor, gptq::uniform_grid{.bits = 4, .group_size = 128});
    std::cout << report << '\n';                  // loss, seconds, and what needed help
    const gptq::linear layer(gptq::pack(codes));  // re-tiled once for this machine
    gptq::gemv(layer, x, y);                      // y = Ŵ·x, dequantized on the fly

    gptq::gemv(gptq::linear(gptq::pack(gptq::round_to_nearest(w, codes.grid))), x, nearest);
    std::cout << "error on an unseen input: " << 100 * relative_error(w, x, y) << " %, rounded to nearest "
              << 100 * relative_error(w, x, nearest) << " %\n";
    return relative_error(w, x, y) < relative_error(w, x, nearest) ? 0 : 1;
}
