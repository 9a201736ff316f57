// Activations and weights to codes, and one product with the quantized layer.
#include <gptq/gptq.hpp>

#include <iostream>
#include <utility>
#include <vector>

int main() {
    const xt::xtensor<float, 2> inputs = xt::ones<float>({10, 64}), weights = xt::ones<float>({4, 64});
    gptq::hessian h(64);
    h.add(inputs);
    const auto [codes, report] = gptq::solve(weights, gptq::factorize(std::move(h)), gptq::uniform_grid{.sym = false});
    std::cout << report << '\n';

    const gptq::linear layer(gptq::pack(codes));
    const std::vector<float> x(64, 1.0F);
    std::vector<float> y(4);
    gptq::gemv(layer, x, y);
    return y[0] > 63.9F && y[0] < 64.1F ? 0 : 1;
}
