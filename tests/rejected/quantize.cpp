// What is not a matrix, a Hessian, a factor, a grid or an executor is refused by name. Never linked.
#include <gptq/calib/factor.hpp>
#include <gptq/calib/hessian.hpp>
#include <gptq/calib/input_deviation.hpp>
#include <gptq/calib/tensor.hpp>
#include <gptq/core/thread_pool.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/solve/asymmetric.hpp>
#include <gptq/solve/requantize.hpp>
#include <gptq/solve/solver.hpp>
#include <gptq/solve/tensors.hpp>

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "rejected/pick.hpp"

using namespace gptq;

struct integers {
    using parameters = float;
    unsigned bits = 4;
    std::ptrdiff_t group_size = per_row;
    void check() const {}
    float fit(const auto&) const { return 1; }
    auto round(auto v, float) const { return std::rint(v); }
    auto dequantize(auto code, float) const { return code; }
};
struct without_round : integers {
    void round() const;
};
struct without_bits : integers {
    void bits() const;
};
struct rounds_to_int : integers {
    int round(double v, float) const { return static_cast<int>(v); }
};
struct fits_floats_only : integers {
    float fit(std::span<const float>) const { return 1; }
};

void calibrate(hessian<>& h, const matrix<float>& x, const matrix<int>& ints, const xt::xtensor<float, 1>& line,
               const xt::xtensor<float, 3>& cube, const std::vector<std::vector<float>>& nested,
               const std::vector<float>& weights, const std::vector<double>& doubles, input_deviation<>& d,
               thread_pool& pool) {
    h.add(pick(std::string("x"), x));                        // refused: float_matrix, matrix_like, view_of(m)
    h.add(pick(nested, x));                                  // refused: float_matrix, matrix_like, view_of(m)
    h.add(pick(x + x, x));                                   // refused: float_matrix, matrix_like, xt::eval
    h.add(pick(line, x));                                    // refused: float_matrix, matrix_like, two axes
    h.add(pick(cube, x));                                    // refused: float_matrix, matrix_like, two axes
    h.add(pick(ints, x));                                    // refused: float_matrix, storable_float, bf16
    h.add(x, pick(doubles, weights));                        // refused: span<const float>
    h.add(x, pick(&pool, pool));                             // refused: executor, e.concurrency()
    d.add(pick(ints, x), x);                                 // refused: float_matrix, storable_float, bf16
    static_cast<void>(view_of(pick(cube, x)));               // refused: dense_matrix, has_two_axes
    static_cast<void>(hessian<>::of(pick(nested, x)));       // refused: float_matrix, matrix_like
    static_cast<void>(hessian<pick_type<int, double>>(4));   // refused: real, double
    static_cast<void>(factorize(pick(x, h)));                // refused: factorize, hessian
    static_cast<void>(factorize(h, {}, pick(8, serial{})));  // refused: executor, e.concurrency()
}

void quantize(matrix<float>& w, const matrix<float>& fixed, matrix<double>& doubles, const matrix<int>& ints,
              const hessian<>& h, const factor<>& f, const quantized<integers>& q, integers grid, thread_pool& pool) {
    static_cast<void>(solve(pick(ints, w), f, grid));                // refused: float_matrix, storable_float, bf16
    static_cast<void>(solve(w, pick(h, f), grid));                   // refused: factor
    static_cast<void>(solve(w, f, pick(4, grid)));                   // refused: grid, has_parameters, G::parameters
    static_cast<void>(solve(w, f, pick(without_round{}, grid)));     // refused: grid, g.round(v, p)
    static_cast<void>(solve(w, f, pick(rounds_to_int{}, grid)));     // refused: grid, g.round(v, p), same_as<float>
    static_cast<void>(solve(w, f, pick(without_bits{}, grid)));      // refused: grid, g.bits
    static_cast<void>(solve(w, f, pick(fits_floats_only{}, grid)));  // refused: grid, g.fit(exact_weights)
    static_cast<void>(solve(w, f, grid, {}, pick(&pool, pool)));     // refused: executor, e.concurrency()
    static_cast<void>(solve_in_place(pick(fixed, w), f, grid));      // refused: matrix_to_overwrite
    static_cast<void>(solve_in_place(pick(doubles, w), f, grid));    // refused: matrix_to_overwrite
    static_cast<void>(round_to_nearest(pick(ints, w), grid));        // refused: float_matrix, storable_float
    static_cast<void>(round_to_nearest(w, pick(without_round{}, grid)));  // refused: grid, g.round(v, p)
    static_cast<void>(requantize(q, pick(without_round{}, grid)));        // refused: grid, g.round(v, p)
    static_cast<void>(requantize(pick(w, q), grid));                      // refused: quantized
    static_cast<void>(dequantize(pick(w, q)));                            // refused: quantized
    static_cast<void>(asymmetric_target(pick(ints, w), w));               // refused: float_matrix, storable_float
}
