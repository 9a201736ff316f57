// Blocks of any type that is understood → floats; the type is known at run time only.
#pragma once

#include <cstddef>
#include <span>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/pack/ggml_blocks.hpp>
#include <gptq/pack/ggml_k_blocks.hpp>
#include <gptq/pack/ggml_type.hpp>

namespace gptq {

/// Whether dequantize knows the type.
[[nodiscard]] constexpr bool is_understood(ggml_type type) noexcept {
    switch (type) {
        case ggml_type::q4_0:
        case ggml_type::q4_1:
        case ggml_type::q5_0:
        case ggml_type::q5_1:
        case ggml_type::q8_0:
        case ggml_type::q2_k:
        case ggml_type::q3_k:
        case ggml_type::q4_k:
        case ggml_type::q5_k:
        case ggml_type::q6_k: return true;
        default: return false;
    }
}

inline namespace GPTQ_ISA {

namespace impl {

template <class Block>
void dequantize_blocks(Block block, std::span<const std::byte> bytes, std::span<float> out) {
    detail::expect_equal("dequantize", "number of elements", bytes.size() / block.bytes * block.elements, out.size());
    detail::expect_equal("dequantize", "bytes beyond the last block", 0, bytes.size() % block.bytes);
    for (std::size_t b = 0; b < bytes.size() / block.bytes; ++b)
        dequantize_block(block, bytes.data() + b * block.bytes, out.data() + b * block.elements);
}

}  // namespace impl

/// Writes the weights that blocks stand for: bit for bit the floats that llama.cpp makes of them.
/// @param type   Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K or Q6_K
/// @param bytes  whole blocks, one after the other, at any address
/// @throws option_error  another type
/// @throws shape_error   `bytes` is not whole blocks; `out` has not as many elements
inline void dequantize(ggml_type type, std::span<const std::byte> bytes, std::span<float> out) {
    switch (type) {
        case ggml_type::q4_0: return impl::dequantize_blocks(q4_0_block{}, bytes, out);
        case ggml_type::q4_1: return impl::dequantize_blocks(q4_1_block{}, bytes, out);
        case ggml_type::q5_0: return impl::dequantize_blocks(q5_0_block{}, bytes, out);
        case ggml_type::q5_1: return impl::dequantize_blocks(q5_1_block{}, bytes, out);
        case ggml_type::q8_0: return impl::dequantize_blocks(q8_0_block{}, bytes, out);
        case ggml_type::q2_k: return impl::dequantize_blocks(q2_k_block{}, bytes, out);
        case ggml_type::q3_k: return impl::dequantize_blocks(q3_k_block{}, bytes, out);
        case ggml_type::q4_k: return impl::dequantize_blocks(q4_k_block{}, bytes, out);
        case ggml_type::q5_k: return impl::dequantize_blocks(q5_k_block{}, bytes, out);
        case ggml_type::q6_k: return impl::dequantize_blocks(q6_k_block{}, bytes, out);
        default:
            detail::fail<option_error>("dequantize: ", name(type),
                                       " is not understood, expected Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K … Q6_K");
    }
}

}  // namespace GPTQ_ISA
}  // namespace gptq
