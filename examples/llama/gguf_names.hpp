// What a model folder's tensors are called in a GGUF file of llama.cpp's architecture "llama", and in which order their
// rows lie there. Names and orders only: no tensor is read here.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "model.hpp"

namespace llama {

/// A projection's part of a name, such as "attn_q" of "blk.3.attn_q.weight".
struct gguf_projection {
    const char* name;
    /// The heads whose rows llama.cpp wants dealt out for its rotary embedding; none for other projections.
    std::size_t config::*rotated_heads;
};

/// In the order of `projections`.
inline constexpr std::array<gguf_projection, projections.size()> gguf_projections = {{
    {"attn_q", &config::heads},
    {"attn_k", &config::kv_heads},
    {"attn_v", nullptr},
    {"attn_output", nullptr},
    {"ffn_gate", nullptr},
    {"ffn_up", nullptr},
    {"ffn_down", nullptr},
}};

/// "blk.3." and the like.
[[nodiscard]] std::string gguf_layer_prefix(std::size_t index);

/// Which row of the folder's projection each row of the file's is; empty where they are the same.
[[nodiscard]] std::vector<std::size_t> gguf_row_order(const config& shape, const gguf_projection& p);

/// llama.cpp does not load a file with a tensor that it does not know, and one left out would be missed by no one.
/// @throws gptq::option_error  the folder has a tensor that its architecture "llama" has no place for: names it
void expect_gguf_tensors(const model_source& source);

}  // namespace llama
