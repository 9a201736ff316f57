// From a folder's files to a vocabulary, and from a vocabulary to metadata. The kinds of tokenizers are read elsewhere.
#include "gguf_tokenizer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <gptq/core/error.hpp>

#include "gguf_vocabulary.hpp"
#include "tokenizer_json_field.hpp"
#include "tokenizer_model.hpp"
#include "tokenizer_utf8.hpp"

namespace llama {
namespace {

namespace fs = std::filesystem;
using gptq::option_error;
using gptq::detail::fail;
using gptq::detail::text;

[[nodiscard]] bool is_utf8(std::string_view s) {
    while (const std::size_t bytes = character_bytes(s)) s.remove_prefix(bytes);
    return s.empty();
}

[[nodiscard]] std::optional<std::uint32_t> id_of(const gguf_vocabulary& v, const std::string& token) {
    const auto found = std::ranges::find(v.tokens, token, &gguf_token::text);
    if (token.empty() || found == v.tokens.end()) return std::nullopt;
    return static_cast<std::uint32_t>(found - v.tokens.begin());
}

/// A token that a file adds to those of the tokenizer. SentencePiece's own unknown token is among them, and stays it.
void put_added(std::size_t id, const std::string& content, bool special, const std::string& where, gguf_vocabulary& v) {
    const bool is_unknown = id < v.tokens.size() && v.tokens[id].type == gguf_token_type::unknown;
    if (is_unknown && v.tokens[id].text == content) return;
    v.put(id, {content, special ? gguf_token_type::control : gguf_token_type::user_defined}, where);
}

/// added_tokens.json: {"<|im_end|>": 32000, …}
void read_added_tokens(const json_field& root, gguf_vocabulary& v) {
    root.for_each_member([&](const std::string& content, const json_field& id) {
        put_added(id.number(), content, false, id.place(), v);
    });
}

/// added_tokens_decoder: {"32000": {"content": "<|im_end|>", "special": true}, …}
void read_added_tokens_decoder(const json_field& field, gguf_vocabulary& v) {
    if (field.is_null()) return;
    field.for_each_member([&](const std::string& key, const json_field& token) {
        std::uint32_t id = 0;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc() || end != key.data() + key.size()) token.refuse("under the number of a token");
        put_added(id, token["content"].text(), token["special"].flag_or(false), token.place(), v);
    });
}

/// bos_token and its like: the token, or an object with its content. Sets the role if the vocabulary has the token.
void read_role(const json_field& field, const gguf_vocabulary& v, std::optional<std::uint32_t>& role) {
    if (field.is_null()) return;
    if (const auto id = id_of(v, field.is_object() ? field["content"].text() : field.text())) role = id;
}

void read_roles(const json_field& root, gguf_vocabulary& v) {
    read_role(root["bos_token"], v, v.bos);
    read_role(root["eos_token"], v, v.eos);
    read_role(root["unk_token"], v, v.unknown);
    read_role(root["pad_token"], v, v.padding);
}

/// Calls visit(root) if there is such a file.
template <class Visit>
void with_json(const fs::path& file, Visit&& visit) {
    if (!is_file(file)) return;
    const auto root = parse_json(file);
    visit(json_field(root, file.string()));
}

[[nodiscard]] gguf_vocabulary read_vocabulary(const fs::path& folder, std::size_t size) {
    gguf_vocabulary v(size);
    const fs::path config = folder / "tokenizer_config.json";
    if (is_file(folder / "tokenizer.json")) {
        read_json_vocabulary(folder, v);
    } else if (const auto scores = find_llama2c_tokenizer(folder)) {
        read_llama2c_vocabulary(*scores, v);
    } else if (is_file(folder / "tokenizer.model")) {
        read_sentencepiece_vocabulary(folder / "tokenizer.model", v);
        with_json(folder / "added_tokens.json", [&](const json_field& root) { read_added_tokens(root, v); });
        with_json(config, [&](const json_field& root) { read_added_tokens_decoder(root["added_tokens_decoder"], v); });
    } else {
        v.remarks.push_back(text(folder.string(), ": no tokenizer; llama.cpp will take token ids only"));
    }
    with_json(folder / "special_tokens_map.json", [&](const json_field& root) { read_roles(root, v); });
    with_json(config, [&](const json_field& root) {
        read_roles(root, v);
        if (const json_field flag = root["add_bos_token"]; !flag.is_null()) v.adds_bos = flag.flag();
    });
    return v;
}

/// The tokens that end a text, each once: those of the model, then that of the tokenizer.
[[nodiscard]] std::vector<std::uint32_t> ends_of(const gguf_vocabulary& v, const config& shape) {
    std::vector<std::uint32_t> ends;
    const auto add = [&](std::uint32_t id) {
        if (std::ranges::find(ends, id) == ends.end()) ends.push_back(id);
    };
    std::ranges::for_each(shape.ends, add);
    if (v.eos) add(*v.eos);
    return ends;
}

/// llama.cpp knows three tokens that end a text: of all, of a turn, and of a message. That of the tokenizer is taken
/// for a turn's, where the model has another.
void put_ends(gguf_vocabulary& v, const config& shape, gptq::io::gguf_metadata& keys) {
    std::vector<std::uint32_t> ends = ends_of(v, shape);
    if (ends.empty())
        fail<option_error>(
            "gguf: no token ends a text, and llama.cpp would take one for it; give config.json an "
            "eos_token_id");
    if (v.eos && ends.front() != *v.eos) std::rotate(ends.begin() + 1, std::ranges::find(ends, *v.eos), ends.end());
    constexpr std::array<const char*, 3> names = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                                  "tokenizer.ggml.eom_token_id"};
    for (std::size_t i = 0; i < std::min(names.size(), ends.size()); ++i) keys[names[i]] = ends[i];
    for (std::size_t i = names.size(); i < ends.size(); ++i)
        v.remarks.push_back(text("token ", ends[i], " ends a text here, but not in llama.cpp"));
}

void put_roles(gguf_vocabulary& v, const config& shape, gptq::io::gguf_metadata& keys) {
    if (shape.bos) v.bos = shape.bos;
    if (v.bos) keys["tokenizer.ggml.bos_token_id"] = *v.bos;
    if (v.unknown) keys["tokenizer.ggml.unknown_token_id"] = *v.unknown;
    if (v.padding) keys["tokenizer.ggml.padding_token_id"] = *v.padding;
    // As generation here: a text begins with BOS where there is one.
    keys["tokenizer.ggml.add_bos_token"] = v.bos && v.adds_bos.value_or(true);
    put_ends(v, shape, keys);
}

/// llama.cpp stops the whole process when two ids have one text.
void expect_different_texts(const gguf_vocabulary& v) {
    std::set<std::string_view> texts;
    for (std::size_t id = 0; id < v.tokens.size(); ++id)
        if (!texts.insert(v.tokens[id].text).second)
            fail<option_error>("gguf: token ", id, " is \"", v.tokens[id].text,
                               "\", and so is another; llama.cpp needs them to differ");
}

/// Ids without a token get one that no text becomes.
void name_unused(gguf_vocabulary& v) {
    for (std::size_t id = 0; id < v.tokens.size(); ++id)
        if (v.tokens[id].text.empty()) v.tokens[id].text = text("[PAD", id, "]");
}

void put_tokens(const gguf_vocabulary& v, gptq::io::gguf_metadata& keys) {
    std::vector<std::string> texts;
    std::vector<std::int32_t> types;
    std::vector<float> scores;
    for (const gguf_token& token : v.tokens) {
        texts.push_back(token.text);
        types.push_back(static_cast<std::int32_t>(token.type));
        scores.push_back(token.score);
    }
    keys["tokenizer.ggml.tokens"] = gptq::io::gguf_array(std::move(texts));
    keys["tokenizer.ggml.token_type"] = gptq::io::gguf_array(std::move(types));
    if (v.model == "llama") {
        keys["tokenizer.ggml.scores"] = gptq::io::gguf_array(std::move(scores));
        keys["tokenizer.ggml.add_space_prefix"] = v.space_in_front;
    } else {
        keys["tokenizer.ggml.pre"] = v.pre_tokenizer;
        keys["tokenizer.ggml.merges"] = gptq::io::gguf_array(v.merges);
    }
}

/// What turns a conversation into text: in a file of its own, in the configuration, or there as one of several.
[[nodiscard]] std::string chat_template(const fs::path& folder) {
    if (is_file(folder / "chat_template.jinja")) return read_file(folder / "chat_template.jinja");
    std::string found;
    with_json(folder / "tokenizer_config.json", [&](const json_field& root) {
        const json_field field = root["chat_template"];
        if (field.is_null() || field.is_string()) {
            found = field.text_or("");
        } else {
            field.for_each([&](const json_field& one) {
                if (one["name"].text() == "default") found = one["template"].text();
            });
        }
    });
    return found;
}

}  // namespace

void gguf_vocabulary::put(std::size_t id, gguf_token token, std::string_view where) {
    if (id >= tokens.size())
        fail<option_error>(where, ": token \"", token.text, "\" has the id ", id, ", but the model only ",
                           tokens.size(), " tokens, and so llama.cpp could not load it");
    if (token.text.empty() || !is_utf8(token.text))
        fail<option_error>(where, ": token ", id, " is empty or not UTF-8, which GGUF files do not have");
    tokens[id] = std::move(token);
}

void gguf_vocabulary::expect_bytes(std::string_view where) const {
    std::set<char> bytes;
    for (const gguf_token& token : tokens)
        if (const auto byte = byte_of(token.text); byte && token.type == gguf_token_type::byte) bytes.insert(*byte);
    if (bytes.size() != 256)
        fail<option_error>(where, ": has tokens for ", bytes.size(),
                           " of the 256 bytes, and llama.cpp needs all of them for characters without a token");
}

void read_llama2c_vocabulary(const fs::path& file, gguf_vocabulary& out) {
    out.model = "llama";
    out.space_in_front = true;
    out.unknown = 0;
    out.bos = 1;
    out.eos = 2;
    std::vector<scored_piece> pieces = read_llama2c_pieces(file);
    for (std::size_t id = 0; id < pieces.size(); ++id) {
        replace_all(pieces[id].text, " ", gguf_space);
        const auto type = byte_of(pieces[id].text) ? gguf_token_type::byte : gguf_token_type::normal;
        out.put(id, {pieces[id].text, type, pieces[id].score}, file.string());
    }
    // The file has them with line breaks around, for printing.
    out.put(0, {"<unk>", gguf_token_type::unknown}, file.string());
    out.put(1, {"<s>", gguf_token_type::control}, file.string());
    out.put(2, {"</s>", gguf_token_type::control}, file.string());
}

gguf_tokenizer read_gguf_tokenizer(const fs::path& folder, const config& shape) {
    gguf_vocabulary v = read_vocabulary(folder, shape.vocab_size);
    gptq::io::gguf_metadata keys = {{"tokenizer.ggml.model", v.model}};
    if (v.model != "none") {
        name_unused(v);
        expect_different_texts(v);
        put_tokens(v, keys);
        put_roles(v, shape, keys);
        if (std::string words = chat_template(folder); !words.empty())
            keys["tokenizer.chat_template"] = std::move(words);
    }
    return {std::move(keys), std::move(v.remarks)};
}

}  // namespace llama
