// The steps of a tokenizer.json around its model: normalizer, pre_tokenizer, decoder.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer_json_field.hpp"
#include "tokenizer_model.hpp"

namespace llama {

/// How the file writes a token, and so how it is printed.
struct token_spelling {
    bool byte_level = false;
    std::vector<replace> replacements;
    bool byte_pieces = false;  // <0x0A> is a byte

    [[nodiscard]] std::string printed(const std::string& token) const;
};

/// The bytes that a token stands for in the byte-level alphabet, where each byte is a printable character: itself if
/// it is one of Latin-1, else the next free one from U+0100. Nothing where a character is not of that alphabet.
[[nodiscard]] std::optional<std::string> byte_level_bytes(std::string_view token);

// Each refuses, with a format_error, a step or a setting that it does not know.
void read_normalizer(const json_field& field, tokenizer_model& model);
void read_pre_tokenizer(const json_field& field, tokenizer_model& model);
[[nodiscard]] token_spelling read_decoder(const json_field& field, tokenizer_model& model);

}  // namespace llama
