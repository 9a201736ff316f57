#include "gguf_metadata.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <gptq/core/error.hpp>

namespace llama {
namespace {

/// The sizes of a configuration are below 2^32.
std::uint32_t u32(std::size_t size) { return static_cast<std::uint32_t>(size); }

/// llama.cpp's number for files whose weights are mostly of a type.
std::uint32_t file_type(gptq::ggml_type most) {
    using gptq::ggml_type;
    switch (most) {
        case ggml_type::f32: return 0;
        case ggml_type::f16: return 1;
        case ggml_type::q4_0: return 2;
        case ggml_type::q4_1: return 3;
        case ggml_type::q8_0: return 7;
        case ggml_type::q5_0: return 8;
        case ggml_type::q5_1: return 9;
        default: gptq::detail::fail<gptq::option_error>("gguf: files of ", gptq::name(most), " are not written");
    }
}

}  // namespace

gptq::io::gguf_metadata gguf_architecture(const config& shape) {
    gptq::io::gguf_metadata keys = {
        {"llama.attention.head_count", u32(shape.heads)},
        {"llama.attention.head_count_kv", u32(shape.kv_heads)},
        {"llama.attention.key_length", u32(shape.head_dim)},
        {"llama.attention.layer_norm_rms_epsilon", shape.rms_norm_eps},
        {"llama.attention.value_length", u32(shape.head_dim)},
        {"llama.block_count", u32(shape.layers)},
        {"llama.context_length", u32(shape.max_positions)},
        {"llama.embedding_length", u32(shape.hidden_size)},
        {"llama.feed_forward_length", u32(shape.intermediate_size)},
        {"llama.rope.dimension_count", u32(shape.head_dim)},
        {"llama.rope.freq_base", static_cast<float>(shape.rope_theta)},
        {"llama.vocab_size", u32(shape.vocab_size)},
    };
    if (shape.rope_linear_factor != 1) {
        keys["llama.rope.scaling.type"] = std::string("linear");
        keys["llama.rope.scaling.factor"] = static_cast<float>(shape.rope_linear_factor);
    }
    return keys;
}

gptq::io::gguf_metadata gguf_general(const std::string& name, gptq::ggml_type most) {
    return {
        {"general.architecture", std::string("llama")},
        {"general.file_type", file_type(most)},
        {"general.name", name},
        {"general.quantization_version", std::uint32_t{2}},
        {"general.type", std::string("model")},
    };
}

std::vector<float> gguf_rope_divisors(const config& shape) {
    std::vector<float> divisors;
    if (shape.rope_linear_factor != 1) return divisors;
    for (std::size_t i = 0; i < shape.inverse_frequencies.size(); ++i) {
        const double power = -2 * static_cast<double>(i) / static_cast<double>(shape.head_dim);
        divisors.push_back(static_cast<float>(std::pow(shape.rope_theta, power)) / shape.inverse_frequencies[i]);
    }
    const bool none = std::ranges::all_of(divisors, [](float d) { return d == 1; });
    return none ? std::vector<float>{} : divisors;
}

}  // namespace llama
