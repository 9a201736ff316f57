// Projections that see the same inputs share one factor: q, k and v, or gate and up. What that saves is measured, and
// the codes are those that a factor for each would give.
#include <chrono>
#include <cstddef>
#include <iostream>
#include <random>
#include <utility>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/calib/hessian.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/solve/solver.hpp>

namespace {

std::mt19937 random_bits(1);

gptq::matrix<float> random_matrix(std::size_t rows, std::size_t cols) {
    std::normal_distribution<float> normal;
    auto m = gptq::matrix<float>::from_shape({rows, cols});
    for (float& v : m) v = normal(random_bits);
    return m;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct projection {
    const char* name;
    gptq::matrix<float> weights;  // [out_features, in_features]
};

}  // namespace

int main() {
    constexpr std::size_t hidden = 1536;
    const std::vector<projection> attention = {{"q", random_matrix(hidden, hidden)},
                                               {"k", random_matrix(hidden / 4, hidden)},
                                               {"v", random_matrix(hidden / 4, hidden)}};
    const gptq::uniform_grid grid{.bits = 4, .group_size = 128};
    gptq::hessian h(hidden);
    h.add(random_matrix(2 * hidden, hidden));

    double start = now();
    std::vector<gptq::quantized<gptq::uniform_grid>> apart;
    for (const projection& p : attention) apart.push_back(gptq::solve(p.weights, gptq::factorize(h), grid).codes);
    const double seconds_apart = now() - start;

    start = now();
    const auto factor = gptq::factorize(std::move(h));  // moved in, so in its own memory
    bool same = true;
    for (std::size_t i = 0; i < attention.size(); ++i) {
        const auto [codes, report] = gptq::solve(attention[i].weights, factor, grid);
        std::cout << attention[i].name << "  " << report << '\n';
        same = same && codes.codes == apart[i].codes;
    }
    std::cout << "a factor for each: " << seconds_apart << " s; one for all, made in " << factor.seconds
              << " s: " << now() - start << " s; " << (same ? "the same" : "other") << " codes\n";
    return same ? 0 : 1;
}
