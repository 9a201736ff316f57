// A LLaMA model folder as one GGUF file that llama.cpp runs: tensors under its names, metadata, tokenizer. Quantized
// weights stay what they are, weight for weight, wherever a block type of llama.cpp can say them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gptq/gptq.hpp>

#include "gguf_floats.hpp"
#include "model.hpp"

namespace llama {

struct gguf_options {
    float_type floats = float_type::f16;  ///< norms and biases are F32 always
    /// Rounds quantized layers anew that no block type holds exactly: lossy.
    bool requantize = false;
};

/// One tensor is written.
struct gguf_progress {
    const std::string& name;  ///< in the file
    gptq::ggml_type type;
    bool requantized;
    std::size_t done, whole;  ///< tensors
};
using on_gguf_tensor = std::function<void(const gguf_progress&)>;

/// Writes the file, a layer in memory at a time; it appears under its name when it is complete. Everything that can be
/// refused for what it is, but for values that are not finite, is refused before the first byte is written.
///
/// A down projection with act-order is stored exactly, as the order of its inputs is free: the outputs of gate and up
/// projection are put into the order of its groups.
/// @returns remarks for people: when llama.cpp will tokenize differently, and the like
/// @throws gptq::option_error  a layer cannot be stored exactly: its name, the reason, what to do; llama.cpp has no
///                             such tensor, or no such tokenizer
/// @throws gptq::error         a file of the folder is broken, or the file cannot be written
std::vector<std::string> write_gguf(const model_source& source, const std::filesystem::path& path,
                                    const gguf_options& options, const on_gguf_tensor& done);

}  // namespace llama
