#include <gptq/gptq.hpp>

#include <iostream>
#include <utility>

int main() {
    const xt::xtensor<float, 2> inputs = xt::ones<float>({10, 64}), weights = xt::ones<float>({4, 64});
    gptq::hessian h(64);
    h.add(inputs);
    const auto result = gptq::solve(weights, gptq::factorize(std::move(h)), gptq::uniform_grid{});
    std::cout << "full: " << result.report << '\n';
    return result.codes.codes.size() == 4 * 64 ? 0 : 1;
}
