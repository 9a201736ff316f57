// The data of a tokenizer, whatever file they came from, and the readers of those files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "tokenizer_bpe.hpp"
#include "tokenizer_text.hpp"

namespace llama {

/// What the first token of a decoded text loses.
enum class lost_in_front {
    nothing,
    space,      // one space, if the text begins with one
    metaspaces  // every metaspace in the first token; in the others they are spaces
};

struct tokenizer_model {
    // Text to ids, in the order of use.
    added_tokens as_written;  // found before the normalizers
    std::vector<normalizer> normalizers;
    added_tokens as_normalized;  // found after them
    std::vector<pre_tokenizer> pre_tokenizers;
    bpe pieces;

    // Ids to text. Ids without an entry print nothing.
    std::unordered_map<std::uint32_t, std::string> printed;
    lost_in_front lost = lost_in_front::nothing;
    std::string metaspace_mark;  // with lost_in_front::metaspaces

    std::optional<std::uint32_t> bos, eos;
    std::size_t vocab_size = 0;
};

/// Reads tokenizer.json and, where the folder has one, tokenizer_config.json.
[[nodiscard]] tokenizer_model read_tokenizer_json(const std::filesystem::path& folder);

/// A piece of a llama2.c tokenizer; of two merges, the one whose piece has the higher score is done first.
struct scored_piece {
    float score;
    std::string text;
};

/// A folder's tokenizer.bin, else its only tok*.bin; nothing where there is neither.
/// @throws gptq::format_error  there are several tok*.bin
[[nodiscard]] std::optional<std::filesystem::path> find_llama2c_tokenizer(const std::filesystem::path& folder);

/// The pieces of a llama2.c tokenizer by their ids.
[[nodiscard]] std::vector<scored_piece> read_llama2c_pieces(const std::filesystem::path& file);

/// Reads a llama2.c tokenizer: int32 longest piece, then for each piece float32 score, int32 length, bytes; all
/// little-endian. 0, 1 and 2 are <unk>, <s> and </s>; 3 to 258 are the bytes, written <0x00> to <0xFF>.
[[nodiscard]] tokenizer_model read_llama2c_tokenizer(const std::filesystem::path& file);

[[nodiscard]] bool is_file(const std::filesystem::path& path) noexcept;

/// @throws gptq::file_error  the file cannot be read
[[nodiscard]] std::string read_file(const std::filesystem::path& file);

/// The byte that a piece written <0x0A> stands for.
[[nodiscard]] std::optional<char> byte_of(std::string_view piece) noexcept;

}  // namespace llama
