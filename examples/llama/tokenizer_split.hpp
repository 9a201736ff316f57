// Cutting text with a regular expression, as tokenizer.json's Split step asks. The patterns are written for
// Oniguruma and run by PCRE2; what the two understand differently is refused, never reinterpreted.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace llama {

/// The pattern of GPT-2, which a ByteLevel step means by use_regex.
inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class split_regex {
public:
    /// Understood: alternatives, groups `(`, `(?:`, lookarounds, `(?i:` around plain letters, quantifiers, classes,
    /// \p of general categories, \s \S \d \r \n \t, and escaped punctuation. Letters, numbers and spaces are those of
    /// the Unicode version of the PCRE2 at hand.
    /// @throws gptq::format_error  another construct, a broken pattern, or one that matches the empty string
    explicit split_regex(std::string_view pattern);

    /// Cuts `text` into its matches and what lies between them, all in order. Bytes that are not UTF-8 match nothing:
    /// each run of them is a piece, and the texts around it are matched on their own.
    /// @throws gptq::format_error  the pattern needs more steps or memory than PCRE2 allows
    [[nodiscard]] std::vector<std::string_view> split(std::string_view text) const;

private:
    void split_utf8(std::string_view text, std::vector<std::string_view>& pieces) const;

    std::shared_ptr<pcre2_real_code_8> code_;
};

}  // namespace llama
