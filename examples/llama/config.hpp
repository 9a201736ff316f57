// What config.json says of a LLaMA model: the numbers that the forward pass needs, checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace llama {

struct config {
    std::size_t hidden_size = 0;
    std::size_t intermediate_size = 0;
    std::size_t layers = 0;
    std::size_t heads = 0;     ///< query heads
    std::size_t kv_heads = 0;  ///< key and value heads; each serves heads / kv_heads query heads
    std::size_t head_dim = 0;
    std::size_t vocab_size = 0;
    std::size_t max_positions = 0;
    float rms_norm_eps = 1e-5F;
    bool tied_embeddings = false;            ///< the output head is the embedding
    std::optional<std::uint32_t> bos;        ///< the token that a text begins with
    std::vector<std::uint32_t> ends;         ///< tokens that end a text
    double rope_theta = 10000;               ///< the rotary embedding's base
    double rope_linear_factor = 1;           ///< what positions are divided by: not 1 with linear scaling alone
    std::vector<float> inverse_frequencies;  ///< [head_dim / 2] of the rotary embedding, scaling included

    [[nodiscard]] std::size_t query_size() const noexcept { return heads * head_dim; }
    [[nodiscard]] std::size_t kv_size() const noexcept { return kv_heads * head_dim; }
};

/// @throws gptq::file_error    there is no config.json
/// @throws gptq::format_error  it is not a LLaMA configuration, or asks for something that is not implemented here
[[nodiscard]] config read_config(const std::filesystem::path& model_folder);

}  // namespace llama
