// What happens to text before pieces are looked up: characters, normalizers, pre-tokenizers, added tokens.
// Every step does what the step of that name does in Hugging Face's `tokenizers`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tokenizer_split.hpp"

namespace llama {

void replace_all(std::string& text, std::string_view from, std::string_view to);

/// Normalizer: puts `what` in front of a text that is not empty.
struct prepend {
    std::string what;
};

/// Normalizer: every `from` becomes `to`; `from` is not empty.
struct replace {
    std::string from, to;
};

using normalizer = std::variant<prepend, replace>;

[[nodiscard]] std::string normalized(const std::vector<normalizer>& steps, std::string_view text);

/// A part of the text that becomes pieces on its own.
struct word {
    std::string text;
    bool at_text_start;  // its first byte is the first byte of the whole text
};

/// Pre-tokenizer: each word begins with a space.
struct leading_space {};

/// Pre-tokenizer: spaces become `mark`, words get one in front, and are cut before every mark if `cut` says so.
struct metaspace {
    enum class prefix { always, first, never };
    std::string mark;
    prefix in_front;
    bool cut;
};

using pre_tokenizer = std::variant<split_regex, leading_space, metaspace>;

/// The words that `text` becomes, none of them empty.
[[nodiscard]] std::vector<word> pre_tokenized(const std::vector<pre_tokenizer>& steps, word text);

/// Tokens that are found in text as they are written, before any other rule applies.
class added_tokens {
public:
    /// What lies between two tokens, or the token itself. Points into the text.
    struct part {
        std::string_view text;
        std::optional<std::uint32_t> id;
    };

    /// Empty contents are never found.
    void add(std::string content, std::uint32_t id);

    /// Cuts `text` at its tokens: the leftmost first and the longest that begins there.
    [[nodiscard]] std::vector<part> split(std::string_view text) const;

private:
    struct token {
        std::string content;
        std::uint32_t id;
    };
    [[nodiscard]] const token* longest_at_front(std::string_view text) const noexcept;

    std::array<std::vector<token>, 256> by_first_byte_;  // each longest first
};

}  // namespace llama
