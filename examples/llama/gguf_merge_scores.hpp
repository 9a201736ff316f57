// The order of merges as scores of tokens. A tokenizer.json lists which pairs merge, the first pair first; llama.cpp's
// SentencePiece tokenizer merges any pair whose text is a token, that of the highest score first. Where both come to
// the same, the scores are made here; where not, the tokenizer is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "tokenizer_json_field.hpp"

namespace llama {

/// "left right", whichever way the file writes a merge.
/// @throws gptq::option_error  a piece has a space in it
[[nodiscard]] std::string merge_text(const json_field& merge);

class merge_scores {
public:
    /// @param model  the "model" of a tokenizer.json that read_tokenizer_json has accepted
    /// @throws gptq::option_error  merges that make one token do not stand together, so that no score says their order
    explicit merge_scores(const json_field& model);

    /// The higher, the sooner it is made; lowest for tokens that no merge makes. Whole numbers, exact below 2^24
    /// tokens.
    [[nodiscard]] float of(std::uint32_t id) const;

    /// @throws gptq::option_error  two neighbours whose texts make this token do not merge here, but would in llama.cpp
    /// @cost   length² for the length of the token, which is bounded
    void expect_all_merges_of(const std::string& token) const;

private:
    void add(std::string pair);
    [[nodiscard]] bool can_stand_alone(const std::string& part) const;

    std::string place_;
    std::unordered_map<std::string, std::uint32_t> ids_;
    std::unordered_set<std::string> pairs_;
    std::unordered_map<std::uint32_t, std::size_t> ranks_;  // of the tokens that merges make
    std::optional<std::uint32_t> made_last_;
};

}  // namespace llama
