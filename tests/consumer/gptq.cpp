#include <gptq/gptq.hpp>
#include <iostream>

int main() {
    const xt::xtensor<float, 2> x = xt::ones<float>({10, 64}), w = xt::ones<float>({4, 64});
    gptq::hessian h(64);
    h.add(x);
    const auto [codes, report] = gptq::solve(w, gptq::factorize(std::move(h)), gptq::uniform_grid{});
    std::cout << report << '\n';
    return codes.codes.size() == 256 ? 0 : 1;
}
