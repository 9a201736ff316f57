// From one layout of quantized weights to another: a Hugging Face folder in, a Hugging Face folder out. No weight
// changes on the way, or the layer is refused. Knows nothing of LLaMA but how its projections are called. GGUF is
// written by gguf_export.hpp.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gptq/gptq.hpp>

namespace llama {

enum class layout { gptq, gptq_v2, awq, compressed_tensors };

struct convert_options {
    layout to = layout::gptq;
    /// Rounds a layer anew that the layout cannot hold as it is: lossy.
    bool requantize = false;
    std::size_t largest_shard = 0;  ///< bytes of a file; 0: one file
};

/// A quantized model folder, of any architecture.
struct checkpoint {
    std::filesystem::path folder;
    gptq::io::model_files files;
    gptq::io::quantization how;
    std::vector<std::string> modules;  ///< the quantized ones

    /// @throws gptq::error         with the file that is missing or broken
    /// @throws gptq::option_error  the model is not quantized
    [[nodiscard]] static checkpoint open(const std::filesystem::path& folder);
    [[nodiscard]] gptq::packed_linear load(const std::string& module) const {
        return gptq::io::load_quantized(files, module, how);
    }
};

/// One layer is written.
struct converted_layer {
    const std::string& name;
    const gptq::packed_linear& packed;
    const gptq::io::quantization& how;  ///< of the new checkpoint
    bool requantized;
    std::size_t done, whole;
};
using on_layer = std::function<void(const converted_layer&)>;

/// Converts all layers and commits the folder: what is interrupted leaves no folder that looks complete.
/// @returns the configuration that was written
/// @throws gptq::option_error  a layer that the layout cannot hold: its name, the reason, what to do
gptq::io::quantization convert(const checkpoint& source, gptq::io::atomic_folder& folder,
                               const convert_options& options, const on_layer& done);

}  // namespace llama
