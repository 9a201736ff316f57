// A tokenizer in llama.cpp's terms, and the readers that make one of a tokenizer's file. gguf_tokenizer.hpp turns it
// into the metadata of a GGUF file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llama {

/// The numbers are llama.cpp's.
enum class gguf_token_type : std::int32_t {
    normal = 1,
    unknown = 2,
    control = 3,
    user_defined = 4,
    unused = 5,
    byte = 6,
};

struct gguf_token {
    std::string text;  ///< empty where an id has no token
    gguf_token_type type = gguf_token_type::unused;
    float score = 0;  ///< of "llama": of two merges, the one whose token has the higher score is done first
};

/// What SentencePiece writes for a space.
inline constexpr std::string_view gguf_space = "\u2581";

struct gguf_vocabulary {
    /// @param size  the model's tokens: ids are below it
    explicit gguf_vocabulary(std::size_t size) : tokens(size) {}

    std::string model = "none";       ///< "llama", "gpt2", or none at all
    std::string pre_tokenizer;        ///< of "gpt2": llama.cpp's name for how text is cut into words
    bool space_in_front = false;      ///< of "llama": text is read with one more space before it
    std::vector<gguf_token> tokens;   ///< by id
    std::vector<std::string> merges;  ///< of "gpt2": "left right", the first is done first
    std::optional<std::uint32_t> bos, eos, unknown, padding;
    std::optional<bool> adds_bos;      ///< whether text is read with BOS before it, if the tokenizer says so
    std::vector<std::string> remarks;  ///< for people: when llama.cpp will make other ids

    /// Gives an id its token, instead of what it had.
    /// @param where  the file that says so
    /// @throws gptq::option_error  the model has no such id; the text is empty, or not UTF-8
    void put(std::size_t id, gguf_token token, std::string_view where);

    /// @throws gptq::option_error  a byte has no token <0x..>: llama.cpp needs them for characters without a token
    void expect_bytes(std::string_view where) const;
};

// Each reads one kind of tokenizer: its tokens, its rules, and the special tokens that the file itself names.
// They throw a gptq::error where a file is broken, and gptq::option_error where llama.cpp has no such tokenizer.

/// tokenizer.json: byte-level BPE as "gpt2", SentencePiece-like BPE as "llama".
void read_json_vocabulary(const std::filesystem::path& folder, gguf_vocabulary& out);
/// The score file of llama2.c, as "llama".
void read_llama2c_vocabulary(const std::filesystem::path& file, gguf_vocabulary& out);
/// SentencePiece's tokenizer.model, as "llama".
void read_sentencepiece_vocabulary(const std::filesystem::path& file, gguf_vocabulary& out);

}  // namespace llama
