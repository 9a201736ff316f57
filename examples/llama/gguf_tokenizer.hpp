// The tokenizer of a model folder as metadata of a GGUF file, so that llama.cpp makes the ids that this engine makes.
// llama.cpp knows two kinds of tokenizers that LLaMA folders have:
//
//     "llama"   SentencePiece: neighbours merge whose texts together are a token; that of the highest score first
//     "gpt2"    byte-level BPE: a list of merges, and the name of rules that cut text into words before
//
// A tokenizer that is neither is refused. One that differs for rare texts only is written, with a remark.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <gptq/gptq.hpp>

#include "config.hpp"

namespace llama {

struct gguf_tokenizer {
    gptq::io::gguf_metadata keys;      ///< tokenizer.*
    std::vector<std::string> remarks;  ///< for people: when llama.cpp will make other ids
};

/// Reads the tokenizer that this engine reads (tokenizer.json, or a score file of llama2.c), else SentencePiece's
/// tokenizer.model; and what tokenizer_config.json, special_tokens_map.json and added_tokens.json add. A folder that
/// has none becomes a file whose model takes ids only.
/// @throws gptq::error         a file is broken
/// @throws gptq::option_error  llama.cpp has no such tokenizer; a token is beyond the model's vocabulary, or there
///                             twice; no token ends a text
[[nodiscard]] gguf_tokenizer read_gguf_tokenizer(const std::filesystem::path& folder, const config& shape);

}  // namespace llama
