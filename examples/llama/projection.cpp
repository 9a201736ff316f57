#include "projection.hpp"

#include <algorithm>

namespace llama {
namespace {

/// sgemm on slices of outputs, so that one token keeps all threads busy. The slices' size is fixed: results do not
/// depend on how many threads there are.
matrix multiply(const float_weights& w, const matrix& x, gptq::thread_pool& pool) {
    constexpr std::size_t slice = 128;
    const std::size_t rows = x.shape()[0], in = x.shape()[1], out = w.weights.shape()[0];
    matrix y = make_matrix(rows, out);
    pool.for_each((out + slice - 1) / slice, [&](std::size_t s) {
        const std::size_t first = s * slice, count = std::min(slice, out - first);
        gptq::blas::gemm(gptq::blas::plain, gptq::blas::transposed, rows, count, in, 1.0F, x.data(), in,
                         w.weights.data() + first * in, in, 0.0F, y.data() + first, out);
    });
    if (!w.bias.empty())
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t o = 0; o < out; ++o) y(r, o) += w.bias[o];
    return y;
}

matrix multiply(const gptq::linear& layer, const matrix& x, gptq::thread_pool& pool) {
    matrix y = make_matrix(x.shape()[0], layer.out_features());
    gptq::gemm(layer, x, y, pool);
    return y;
}

}  // namespace

matrix projection::operator()(const matrix& x, gptq::thread_pool& pool) const {
    return std::visit([&](const auto& weights) { return multiply(weights, x, pool); }, weights_);
}

std::size_t projection::out_features() const {
    return quantized() ? std::get<gptq::linear>(weights_).out_features() : floats().weights.shape()[0];
}

std::size_t projection::in_features() const {
    return quantized() ? std::get<gptq::linear>(weights_).in_features() : floats().weights.shape()[1];
}

std::size_t projection::bytes() const {
    return quantized() ? std::get<gptq::linear>(weights_).bytes()
                       : (floats().weights.size() + floats().bias.size()) * sizeof(float);
}

}  // namespace llama
