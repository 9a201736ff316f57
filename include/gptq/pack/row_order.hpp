// Outputs of a layer in another order. An output's codes, scales, zero points and bias move together, so nothing is
// quantized anew: a packed q or k projection can be written for llama.cpp, which deals the rows of heads differently.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/pack/packed_linear.hpp>
#include <gptq/pack/parameters.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// Row r of q_proj or k_proj in a GGUF file of the architecture "llama" is row order[r] of the Hugging Face checkpoint.
/// Rotary embedding turns element j of a head with element j + size/2 there, and neighbours here: 0 4 1 5 2 6 3 7.
/// The order is for "llama" alone; qwen2, gemma and others turn halves in llama.cpp too.
/// @param heads  of q, or of k (fewer, where keys are shared)
/// @throws option_error  out_features are not whole heads of an even size
[[nodiscard]] inline std::vector<std::size_t> llama_row_order(std::size_t out_features, std::size_t heads) {
    if (heads == 0 || out_features % heads != 0 || out_features / heads % 2 != 0)
        detail::fail<option_error>("llama_row_order: ", out_features, " outputs are not ", heads,
                                   " heads of an even size");
    const std::size_t size = out_features / heads;
    std::vector<std::size_t> order(out_features);
    for (std::size_t r = 0; r < out_features; ++r) {
        const std::size_t within = r % size;
        order[r] = r - within + within / 2 + within % 2 * (size / 2);
    }
    return order;
}

namespace impl {

inline void expect_outputs(std::span<const std::size_t> order, std::size_t out_features) {
    detail::expect_equal("permute_outputs", "number of outputs", out_features, order.size());
    std::vector<bool> seen(out_features);
    for (const std::size_t o : order) {
        if (o >= out_features || seen[o])
            detail::fail<option_error>("permute_outputs: output ", o, " is named, expected each of 0 … ",
                                       out_features - 1, " once");
        seen[o] = true;
    }
}

/// to[r, o] = from[r, order[o]] for rows of order.size() elements.
template <class Array, class T = typename Array::value_type>
[[nodiscard]] std::vector<T> permuted_columns(const Array& from, std::span<const std::size_t> order) {
    std::vector<T> to(from.size());
    for (std::size_t row = 0; row < from.size(); row += order.size())
        for (std::size_t o = 0; o < order.size(); ++o) to[row + o] = from[row + order[o]];
    return to;
}

}  // namespace impl

/// A layer whose output o is output order[o] of `p`.
/// @throws option_error, shape_error  `order` does not name every output once; the layer is inconsistent
[[nodiscard]] inline packed_linear permute_outputs(const packed_linear& p, std::span<const std::size_t> order) {
    check(p);
    impl::expect_outputs(order, p.out_features);
    packed_linear result = p;
    result.qweight = impl::permuted_columns(p.qweight, order);
    result.scales = impl::permuted_columns(p.scales, order);
    result.bias = impl::permuted_columns(p.bias, order);
    const auto zeros = impl::unpack_zeros(p.qzeros, p.out_features, p.bits, 0);  // as they are stored
    result.qzeros = impl::pack_zeros(impl::permuted_columns(zeros, order), p.out_features, p.bits, 0);
    return result;
}

/// The same, before a layer is packed.
template <grid G>
[[nodiscard]] quantized<G> permute_outputs(const quantized<G>& q, std::span<const std::size_t> order) {
    impl::expect_outputs(order, q.out_features);
    detail::expect_equal("permute_outputs", "number of codes", q.out_features * q.in_features, q.codes.size());
    detail::expect_equal("permute_outputs", "number of parameters", q.out_features * q.groups(), q.parameters.size());
    quantized<G> result = q;
    for (std::size_t o = 0; o < order.size(); ++o) {
        std::copy_n(q.codes.data() + order[o] * q.in_features, q.in_features, result.codes.data() + o * q.in_features);
        std::copy_n(q.parameters.data() + order[o] * q.groups(), q.groups(), result.parameters.data() + o * q.groups());
    }
    return result;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
