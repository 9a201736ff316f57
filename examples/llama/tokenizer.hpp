// Text to token ids and back, for the tokenizers that LLaMA folders carry: Hugging Face's tokenizer.json
// (byte-level and SentencePiece-style BPE) and the score file of llama2.c. Not a trainer, and not a chat template:
// encode adds no token of its own, so a caller that wants a BOS puts it there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llama {

struct tokenizer_model;

/// An immutable tokenizer; copies share it, and any number of threads may use it.
class tokenizer {
public:
    /// Reads the folder's tokenizer.json (with bos_token and eos_token of tokenizer_config.json beside it), else its
    /// tokenizer.bin, else its only tok*.bin.
    ///
    /// tokenizer.json gives the ids of Hugging Face's `tokenizers`. Its post_processor, truncation and padding are
    /// not looked at; whatever else would change an id and is not known here is refused.
    /// @throws gptq::format_error  there is none of these, or it is broken, or it asks for what is not supported
    [[nodiscard]] static tokenizer open(const std::filesystem::path& model_folder);

    explicit tokenizer(std::shared_ptr<const tokenizer_model> model);

    /// The ids of `text`, which may be any bytes: where it is not UTF-8, each stray byte counts as a character, and a
    /// run of them as a word of its own. Special tokens written out in the text become their ids, as in Hugging Face.
    /// @throws gptq::format_error  a character has no piece, and the vocabulary has neither bytes nor an unknown token
    [[nodiscard]] std::vector<std::uint32_t> encode(std::string_view text) const;

    /// The text of `ids`; special tokens and ids that are not in the vocabulary print nothing. Bytes come out as they
    /// are: where they are not UTF-8, Hugging Face would put U+FFFD.
    [[nodiscard]] std::string decode(std::span<const std::uint32_t> ids) const;

    [[nodiscard]] std::optional<std::uint32_t> bos() const noexcept;
    [[nodiscard]] std::optional<std::uint32_t> eos() const noexcept;

    /// One more than the highest id. A model may have more rows than that: some pad their embedding.
    [[nodiscard]] std::size_t vocab_size() const noexcept;

private:
    friend class text_stream;
    std::shared_ptr<const tokenizer_model> model_;
};

/// Decodes ids as they come: the pieces that `next` returns, put together, are `decode` of all the ids.
/// A piece may end within a UTF-8 character. To print only a reply, feed the prompt first and drop its pieces.
class text_stream {
public:
    explicit text_stream(const tokenizer& from) : model_(from.model_) {}

    [[nodiscard]] std::string next(std::uint32_t id);

private:
    std::shared_ptr<const tokenizer_model> model_;
    bool at_start_ = true;
};

}  // namespace llama
