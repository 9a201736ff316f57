// Reads tokenizer.json and tokenizer_config.json: the BPE model, the added tokens, the names of BOS and EOS.
// The steps around the model are in tokenizer_json_steps.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>

#include "tokenizer_json_field.hpp"
#include "tokenizer_json_steps.hpp"
#include "tokenizer_model.hpp"

namespace llama {
namespace {

namespace fs = std::filesystem;
using gptq::format_error;
using gptq::detail::fail;

/// Every token as the file writes it. One string has one id, and one id one string.
struct vocabulary {
    piece_map ids;
    std::unordered_map<std::uint32_t, std::string> names;

    void add(const std::string& name, std::uint32_t id, const json_field& at) {
        const bool same_id = ids.emplace(name, id).first->second == id;
        const bool same_name = names.emplace(id, name).first->second == name;
        if (!same_id || !same_name) at.refuse("an id that no other token has, and one id for a token");
    }

    [[nodiscard]] std::uint32_t id_of(const std::string& name, const json_field& at) const {
        const auto found = ids.find(name);
        if (found == ids.end()) fail<format_error>(at.place(), ": \"", name, "\" is not in the vocabulary");
        return found->second;
    }
};

[[nodiscard]] std::pair<std::string, std::string> read_pair(const json_field& field) {
    std::vector<std::string> parts;
    if (field.is_string()) {
        const std::string& text = field.text();
        const std::size_t space = text.find(' ');
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
            field.refuse("two pieces with one space between them");
        parts = {text.substr(0, space), text.substr(space + 1)};
    } else {
        field.for_each([&](const json_field& part) { parts.push_back(part.text()); });
        if (parts.size() != 2) field.refuse("two pieces");
    }
    return {std::move(parts[0]), std::move(parts[1])};
}

void read_merges(const json_field& field, const vocabulary& tokens, bpe& out) {
    std::uint32_t rank = 0;
    field.for_each([&](const json_field& merge) {
        const auto [left, right] = read_pair(merge);
        const std::uint64_t pair = bpe::pair(tokens.id_of(left, merge), tokens.id_of(right, merge));
        out.merges[pair] = {rank++, tokens.id_of(left + right, merge)};
    });
}

void read_vocabulary(const json_field& field, vocabulary& tokens, bpe& out) {
    field.for_each_member([&](const std::string& name, const json_field& id) {
        tokens.add(name, id.number(), id);
        if (out.smallest == bpe::unit::character) {
            out.ids.emplace(name, id.number());
        } else if (const auto bytes = byte_level_bytes(name)) {
            out.ids.emplace(*bytes, id.number());
        }
    });
}

[[nodiscard]] std::array<std::uint32_t, 256> byte_ids(const vocabulary& tokens, const json_field& at) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::array<std::uint32_t, 256> ids{};
    for (std::size_t b = 0; b < ids.size(); ++b)
        ids[b] = tokens.id_of(gptq::detail::text("<0x", digits[b / 16], digits[b % 16], ">"), at);
    return ids;
}

void refuse_unless_absent(const json_field& affix) {
    if (!affix.text_or("").empty()) affix.refuse("nothing");
}

void read_bpe(const json_field& field, vocabulary& tokens, bpe& out) {
    if (!field["type"].is_null()) field["type"].expect("BPE");
    if (!field["dropout"].is_null()) field["dropout"].expect(0);
    refuse_unless_absent(field["continuing_subword_prefix"]);
    refuse_unless_absent(field["end_of_word_suffix"]);
    read_vocabulary(field["vocab"], tokens, out);
    read_merges(field["merges"], tokens, out);
    out.whole_words_first = field["ignore_merges"].flag_or(false);
    out.fuse_unknown = field["fuse_unk"].flag_or(false);
    if (const json_field unknown = field["unk_token"]; !unknown.is_null())
        out.unknown = tokens.id_of(unknown.text(), unknown);
    if (const json_field fallback = field["byte_fallback"]; fallback.flag_or(false)) {
        if (out.smallest == bpe::unit::byte) fallback.refuse("false with a ByteLevel pre_tokenizer");
        out.byte_ids = byte_ids(tokens, fallback);
    }
}

/// Returns the ids of the special ones, which are not printed.
[[nodiscard]] std::unordered_set<std::uint32_t> read_added_tokens(const json_field& field, vocabulary& tokens,
                                                                  tokenizer_model& model) {
    std::unordered_set<std::uint32_t> special;
    if (field.is_null()) return special;
    field.for_each([&](const json_field& token) {
        for (const char* const key : {"single_word", "lstrip", "rstrip"})
            if (token[key].flag_or(false)) token[key].refuse("false");
        const std::string& content = token["content"].text();
        const std::uint32_t id = token["id"].number();
        const bool is_special = token["special"].flag_or(false);
        tokens.add(content, id, token["id"]);
        if (is_special) special.insert(id);
        if (token["normalized"].flag_or(!is_special)) {
            model.as_normalized.add(normalized(model.normalizers, content), id);
        } else {
            model.as_written.add(content, id);
        }
    });
    return special;
}

/// bos_token and eos_token: the token, or an object with its content, or null.
[[nodiscard]] std::optional<std::uint32_t> read_role(const json_field& field, const vocabulary& tokens) {
    if (field.is_null()) return std::nullopt;
    return tokens.id_of(field.is_object() ? field["content"].text() : field.text(), field);
}

void read_config(const fs::path& file, const vocabulary& tokens, tokenizer_model& model) {
    if (!is_file(file)) return;
    const nlohmann::json document = parse_json(file);
    const json_field root(document, file.string());
    model.bos = read_role(root["bos_token"], tokens);
    model.eos = read_role(root["eos_token"], tokens);
}

}  // namespace

nlohmann::json parse_json(const fs::path& file) {
    try {
        return nlohmann::json::parse(read_file(file));
    } catch (const nlohmann::json::exception& e) {
        fail<format_error>(file.string(), ": ", e.what());
    }
}

tokenizer_model read_tokenizer_json(const fs::path& folder) {
    const nlohmann::json document = parse_json(folder / "tokenizer.json");
    const json_field root(document, (folder / "tokenizer.json").string());

    tokenizer_model model;
    read_normalizer(root["normalizer"], model);
    read_pre_tokenizer(root["pre_tokenizer"], model);
    const token_spelling spelling = read_decoder(root["decoder"], model);
    if (spelling.byte_level != (model.pieces.smallest == bpe::unit::byte))
        root["decoder"].refuse("ByteLevel with a ByteLevel pre_tokenizer, and only with one");

    vocabulary tokens;
    read_bpe(root["model"], tokens, model.pieces);
    const auto special = read_added_tokens(root["added_tokens"], tokens, model);
    for (const auto& [id, name] : tokens.names) {
        model.vocab_size = std::max<std::size_t>(model.vocab_size, std::size_t{id} + 1);
        if (!special.contains(id)) model.printed.emplace(id, spelling.printed(name));
    }
    read_config(folder / "tokenizer_config.json", tokens, model);
    return model;
}

}  // namespace llama
