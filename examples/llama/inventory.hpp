// What a model's files hold, whatever their format and architecture: tensors, quantized layers, sizes, checksums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace llama {

/// CRC-32 of the bytes, as zlib counts it.
struct tensor_summary {
    std::string name;
    std::string type;
    std::vector<std::size_t> shape;
    std::size_t bytes = 0;
    std::uint32_t checksum = 0;
};

/// One quantized layer.
struct layer_summary {
    std::string name;
    std::string type;  ///< "gptq", "awq", …, or "Q4_0" and its like
    std::size_t out_features = 0, in_features = 0, groups = 0;
    unsigned bits = 0;
    bool sym = true;
    bool act_order = false;  ///< groups are scattered over the inputs
    std::uint32_t weights =
        0;  ///< CRC-32 of the weights as float32 [out, in]: the same in every format that holds them
};

struct inventory {
    std::filesystem::path path;
    std::string format;       ///< "float", "gptq", "gptq_v2", "awq", "compressed-tensors" or "gguf"
    std::string description;  ///< architecture and configuration, as one JSON object
    std::vector<tensor_summary> tensors;
    std::vector<layer_summary> layers;

    [[nodiscard]] std::size_t bytes() const;
    /// CRC-32 of all tensors' bytes, in the order of their names.
    [[nodiscard]] std::uint32_t checksum() const;
};

/// @param path  a model folder, a .safetensors file or a .gguf file
/// @throws gptq::error  it is none of these, or broken: file, tensor, expected and found
[[nodiscard]] inventory take_inventory(const std::filesystem::path& path);

}  // namespace llama
