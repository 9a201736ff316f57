// A LLaMA model in memory and its forward pass. Weights come from a Hugging Face folder, float or quantized (GPTQ, AWQ,
// compressed-tensors).
//
// The parts of a layer are functions of their own, because calibration needs the inputs of every projection:
//     x += o(attention(normed(x)));   x += down(mlp_hidden(normed(x)))
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gptq/gptq.hpp>

#include "config.hpp"
#include "projection.hpp"

namespace llama {

struct layer {
    std::vector<float> attention_norm, mlp_norm;  // [hidden]
    projection q, k, v, o, gate, up, down;
};

/// A layer's projections by their names in a checkpoint, in the order in which data meets them.
struct named_projection {
    const char* name;
    projection layer::*member;
    std::size_t (*out)(const config&);
    std::size_t (*in)(const config&);
};
inline constexpr std::array<named_projection, 7> projections = {{
    {"self_attn.q_proj", &layer::q, [](const config& c) { return c.query_size(); },
     [](const config& c) { return c.hidden_size; }},
    {"self_attn.k_proj", &layer::k, [](const config& c) { return c.kv_size(); },
     [](const config& c) { return c.hidden_size; }},
    {"self_attn.v_proj", &layer::v, [](const config& c) { return c.kv_size(); },
     [](const config& c) { return c.hidden_size; }},
    {"self_attn.o_proj", &layer::o, [](const config& c) { return c.hidden_size; },
     [](const config& c) { return c.query_size(); }},
    {"mlp.gate_proj", &layer::gate, [](const config& c) { return c.intermediate_size; },
     [](const config& c) { return c.hidden_size; }},
    {"mlp.up_proj", &layer::up, [](const config& c) { return c.intermediate_size; },
     [](const config& c) { return c.hidden_size; }},
    {"mlp.down_proj", &layer::down, [](const config& c) { return c.hidden_size; },
     [](const config& c) { return c.intermediate_size; }},
}};

/// The other tensors of a checkpoint, of which two are a layer's; and the head's module.
inline constexpr const char* embedding_name = "model.embed_tokens.weight";
inline constexpr const char* final_norm_name = "model.norm.weight";
inline constexpr const char* attention_norm_name = "input_layernorm.weight";
inline constexpr const char* mlp_norm_name = "post_attention_layernorm.weight";
inline constexpr const char* head_name = "lm_head";

/// "model.layers.3." and the like.
[[nodiscard]] std::string layer_prefix(std::size_t index);

/// A model folder, open: configuration, tensors where they lie in the files, and how they are quantized, if they are.
struct model_source {
    std::filesystem::path folder;
    config shape;
    gptq::io::model_files files;
    std::optional<gptq::io::quantization> quantization;

    /// Opens a folder and checks that every tensor of the model is there, and of the right shape.
    /// @throws gptq::error  with the file that is missing or broken, or the tensor
    [[nodiscard]] static model_source open(const std::filesystem::path& folder);

    /// A quantized projection as the files have it; nothing where it is float.
    [[nodiscard]] std::optional<gptq::packed_linear> load_packed(const std::string& module) const;

    /// Weights, converted to float where they are not packed.
    /// @throws gptq::numeric_error  a value is not finite: names the tensor and the place
    [[nodiscard]] matrix load_embedding() const;
    [[nodiscard]] layer load_layer(std::size_t index) const;
    [[nodiscard]] std::vector<float> load_final_norm() const;
    /// None where the head is the embedding.
    [[nodiscard]] std::optional<projection> load_head() const;
};

/// Keys and values that later tokens of one sequence look back at: [tokens, kv_size] for one layer.
struct kv_cache {
    std::vector<float> keys, values;
    std::size_t tokens = 0;
};
/// One sequence's caches, one per layer.
using sequence_state = std::vector<kv_cache>;

struct model {
    config shape;
    matrix embedding;  // [vocab, hidden]
    std::vector<layer> layers;
    std::vector<float> final_norm;
    std::optional<projection> head;  // none where it is the embedding

    /// Everything in memory. Quantized projections stay quantized.
    [[nodiscard]] static model load(const model_source& source);

    /// Bytes of weights that are resident.
    [[nodiscard]] std::size_t bytes() const;
};

/// The rows of a batch that belong to one sequence: `count` consecutive rows, appended to its cache.
struct segment {
    kv_cache* cache;
    std::size_t count;
};

[[nodiscard]] matrix embed(const matrix& embedding, std::span<const std::uint32_t> ids);
[[nodiscard]] matrix normed(const matrix& x, std::span<const float> weight, float eps);
/// Attention up to the output projection's input, [rows, query_size]. `n` are the normed rows of all segments.
[[nodiscard]] matrix attention(const config& shape, const layer& l, const matrix& n, std::span<const segment> segments,
                               gptq::thread_pool& pool);
/// silu(gate)·up, the down projection's input.
[[nodiscard]] matrix mlp_hidden(const layer& l, const matrix& n, gptq::thread_pool& pool);

/// Runs rows of new tokens of several sequences through all layers; their states grow.
/// @param states  for each sequence its state and how many of the rows are its
/// @returns the rows of the last layer's output, [ids, hidden]
struct batch_part {
    sequence_state* state;
    std::size_t count;
};
[[nodiscard]] matrix forward(const model& m, std::span<const std::uint32_t> ids, std::span<const batch_part> parts,
                             gptq::thread_pool& pool);

/// Logits [rows, vocab] of rows of `forward`.
[[nodiscard]] matrix logits(const model& m, const matrix& hidden, gptq::thread_pool& pool);

/// @throws gptq::option_error  an id is not in the vocabulary, or a window longer than the model's positions
void expect_ids(const config& shape, std::span<const std::uint32_t> ids);
void expect_context(const config& shape, std::size_t context);

}  // namespace llama
