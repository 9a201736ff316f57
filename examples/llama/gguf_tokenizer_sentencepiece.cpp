// SentencePiece's tokenizer.model as a vocabulary of llama.cpp. The file is a ModelProto: pieces (field 1), how they
// were trained (2), and how text is normalized (3). llama.cpp's rules are those of a BPE model that leaves text as it
// is, but for spaces; other models are refused.
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <gptq/core/error.hpp>

#include "gguf_protobuf.hpp"
#include "gguf_vocabulary.hpp"
#include "tokenizer_model.hpp"

namespace llama {
namespace {

using gptq::format_error;
using gptq::option_error;
using gptq::detail::fail;
using gptq::detail::text;

/// Calls visit(field) for each field of a message within the file.
template <class Visit>
void for_each_field(const protobuf_field& message, Visit&& visit) {
    for (protobuf_reader in(message.bytes(), message.place()); !in.at_end();) visit(in.next());
}

/// SentencePiece's numbers are llama.cpp's, and the same six.
[[nodiscard]] gguf_token_type type_of(const protobuf_field& field) {
    const std::uint64_t number = field.integer();
    if (number < 1 || number > 6)
        fail<format_error>("byte ", field.place(), ": a piece is of type ", number, ", expected 1 to 6");
    return static_cast<gguf_token_type>(number);
}

[[nodiscard]] gguf_token read_piece(const protobuf_field& piece) {
    gguf_token token{"", gguf_token_type::normal};
    for_each_field(piece, [&](const protobuf_field& field) {
        switch (field.number()) {
            case 1: token.text = field.bytes(); break;
            case 2: token.score = field.real(); break;
            case 3: token.type = type_of(field); break;
            default: break;
        }
    });
    if (!std::isfinite(token.score)) fail<format_error>("byte ", piece.place(), ": the score of a piece is not finite");
    // These are looked for in the text as it is written.
    if (token.type == gguf_token_type::user_defined) replace_all(token.text, gguf_space, " ");
    return token;
}

/// What trainer and normalizer say, with SentencePiece's defaults.
struct rules {
    std::uint64_t model_type = 1;
    std::uint64_t unknown = 0, bos = 1, eos = 2, padding = ~std::uint64_t{0};  // that is, −1
    bool space_behind = false;
    bool space_in_front = true, one_space_only = true, marks_spaces = true, other_normalization = false;
};

void read_trainer(const protobuf_field& trainer, rules& out) {
    for_each_field(trainer, [&](const protobuf_field& field) {
        switch (field.number()) {
            case 3: out.model_type = field.integer(); break;
            case 24: out.space_behind = field.flag(); break;
            case 40: out.unknown = field.integer(); break;
            case 41: out.bos = field.integer(); break;
            case 42: out.eos = field.integer(); break;
            case 43: out.padding = field.integer(); break;
            default: break;
        }
    });
}

void read_normalizer(const protobuf_field& normalizer, rules& out) {
    for_each_field(normalizer, [&](const protobuf_field& field) {
        switch (field.number()) {
            case 2: out.other_normalization = !field.bytes().empty(); break;
            case 3: out.space_in_front = field.flag(); break;
            case 4: out.one_space_only = field.flag(); break;
            case 5: out.marks_spaces = field.flag(); break;
            default: break;
        }
    });
}

/// The id of a role; none where the vocabulary does not have it, or the file says −1.
[[nodiscard]] std::optional<std::uint32_t> role(std::uint64_t id, const gguf_vocabulary& v) {
    if (id >= v.tokens.size() || v.tokens[id].text.empty()) return std::nullopt;
    return static_cast<std::uint32_t>(id);
}

void apply(const rules& r, const std::string& name, gguf_vocabulary& out) {
    constexpr std::uint64_t bpe_model = 2;
    if (r.model_type != bpe_model)
        fail<option_error>(name, ": is a model of type ", r.model_type,
                           ", expected 2 (BPE), the only one that llama.cpp reads for this architecture");
    if (r.other_normalization || r.space_behind || !r.marks_spaces)
        fail<option_error>(name, ": normalizes text in a way that llama.cpp does not");
    if (r.one_space_only)
        out.remarks.push_back(text(name, ": several spaces in a row count as one here, but not in llama.cpp"));
    out.space_in_front = r.space_in_front;
    out.unknown = role(r.unknown, out);
    out.bos = role(r.bos, out);
    out.eos = role(r.eos, out);
    out.padding = role(r.padding, out);
}

void read_model(std::string_view bytes, const std::string& name, gguf_vocabulary& out) {
    rules r;
    std::size_t pieces = 0;
    for (protobuf_reader in(bytes); !in.at_end();) {
        const protobuf_field field = in.next();
        switch (field.number()) {
            case 1: out.put(pieces++, read_piece(field), name); break;
            case 2: read_trainer(field, r); break;
            case 3: read_normalizer(field, r); break;
            default: break;
        }
    }
    apply(r, name, out);
}

}  // namespace

void read_sentencepiece_vocabulary(const std::filesystem::path& file, gguf_vocabulary& out) {
    const std::string name = file.string(), bytes = read_file(file);
    out.model = "llama";
    try {
        read_model(bytes, name, out);
    } catch (const format_error& e) {
        fail<format_error>(name, ": not a SentencePiece model: ", e.what());
    }
    out.expect_bytes(name);
}

}  // namespace llama
