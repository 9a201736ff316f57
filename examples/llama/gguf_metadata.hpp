// The metadata of a GGUF file that tell llama.cpp what network it holds: sizes, the rotary embedding, and what most of
// the file's weights are stored in. The vocabulary is in gguf_tokenizer.hpp.
#pragma once

#include <string>
#include <vector>

#include <gptq/gptq.hpp>

#include "config.hpp"

namespace llama {

/// The llama.* keys.
[[nodiscard]] gptq::io::gguf_metadata gguf_architecture(const config& shape);

/// The general.* keys.
/// @param name  what the model is called
/// @param most  the type of most weights
[[nodiscard]] gptq::io::gguf_metadata gguf_general(const std::string& name, gptq::ggml_type most);

/// What llama.cpp is to divide its rotary frequencies by, [head_dim / 2], the tensor rope_freqs.weight: Llama 3's
/// scaling. Empty where there is nothing to divide, and for linear scaling, which is metadata.
[[nodiscard]] std::vector<float> gguf_rope_divisors(const config& shape);

}  // namespace llama
