// What is not a layer, activations, outputs, an executor or a format is refused by name. Never linked.
#include <gptq/runtime.hpp>

#include <cstddef>
#include <list>
#include <string>
#include <vector>

#include <gptq/grid/codebook.hpp>
#include <gptq/pack/awq.hpp>
#include <gptq/pack/ggml_convert.hpp>

#include "rejected/pick.hpp"

using namespace gptq;

struct without_for_each {
    [[nodiscard]] static std::size_t concurrency() { return 1; }
};
struct without_concurrency {
    static void for_each(std::size_t, auto&&) {}
};

void multiply_a_token(const linear& layer, const packed_linear& packed, const std::vector<float>& x,
                      std::vector<float>& y, std::vector<double>& doubles, const std::list<float>& list,
                      const std::vector<std::vector<float>>& nested, thread_pool& pool) {
    gemv(layer, pick(doubles, x), y);                      // refused: activation_range, activation_float, bf16
    gemv(layer, pick(nested, x), y);                       // refused: activation_range, activation_float
    gemv(layer, pick(list, x), y);                         // refused: activation_range, is_contiguous
    gemv(layer, pick(x.data(), x), y);                     // refused: activation_range, is_contiguous
    gemv(layer, x, pick(doubles, y));                      // refused: output_range, activation_float, bf16
    gemv(layer, x, pick(x, y));                            // refused: output_range, is_writable
    gemv(pick(packed, layer), x, y);                       // refused: multipliable, linear, direct_linear
    gemv<pick_type<int, digits<2>>>(layer, x, y);          // refused: digit_format, digits<3>
    gemv(layer, x, y, pick(&pool, pool));                  // refused: executor, e.concurrency()
    gemv(layer, x, y, pick(without_concurrency{}, pool));  // refused: executor, e.concurrency()
    gemv(layer, x, y, pick(without_for_each{}, pool));     // refused: executor, e.for_each(count, task)
    pool.for_each(8, pick(8, [](std::size_t) {}));         // refused: invocable
}

void multiply_tokens(const linear& layer, matrix_view<const float> x, matrix_view<float> y, matrix_view<double> doubles,
                     const std::vector<float>& range, thread_pool& pool) {
    gemm(layer, pick(range, x), y);    // refused: activation_matrix, matrix_like, view_of(m)
    gemm(layer, pick(doubles, x), y);  // refused: activation_matrix, activation_float, bf16
    gemm(layer, x, pick(x, y));        // refused: output_matrix, is_writable
    gemm(layer, x, pick(doubles, y));  // refused: output_matrix, activation_float
    gemm(layer, x, y, pick(4, pool));  // refused: executor, e.concurrency()
    activations<> a(layer.layout());
    a.assign(pick(doubles, x));               // refused: activation_matrix, activation_float, bf16
    a.assign(pick(std::string("x"), range));  // refused: activation_range, activation_float
    static_cast<void>(activations<pick_type<int, digits<1>>>(layer.layout()));  // refused: digit_format, digits<3>
}

void convert(const quantized<uniform_grid>& q, const quantized<codebook<16>>& other, const packed_linear& packed) {
    static_cast<void>(pack(pick(other, q)));                      // refused: uniform_grid
    static_cast<void>(to_ggml(pick(other, q), ggml_type::q8_0));  // refused: uniform_layer, packed_linear, uniform_grid
    static_cast<void>(to_awq(pick(q, packed)));                   // refused: packed_linear
    static_cast<void>(linear(pick(q, packed)));                   // refused: packed_linear
    static_cast<void>(round_to<pick_type<int, f16>>(1.0F));       // refused: storable_float, bf16
}

using precise = digits<pick_value<4, 3>>;      // refused: digits, Planes <= 3
using large = codebook<pick_value<257, 256>>;  // refused: codebook, N <= 256
using small = codebook<pick_value<1, 2>>;      // refused: codebook, N >= 2
