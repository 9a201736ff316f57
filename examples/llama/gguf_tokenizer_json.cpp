// tokenizer.json as a vocabulary of llama.cpp. What this engine's own reader refuses is refused; of what it
// understands, llama.cpp understands less, and that is recognised here: by the patterns that cut text into words, or by
// what becomes of spaces.
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/error.hpp>

#include "gguf_merge_scores.hpp"
#include "gguf_vocabulary.hpp"
#include "tokenizer_json_field.hpp"
#include "tokenizer_model.hpp"

namespace llama {
namespace {

namespace fs = std::filesystem;
using gptq::option_error;
using gptq::detail::fail;
using gptq::detail::text;

/// The steps that a field means: none, one, or a Sequence of them.
template <class Visit>
void for_each_step(const json_field& field, const char* members, Visit&& visit) {
    if (field.is_null()) return;
    if (field["type"].text() == "Sequence")
        field[members].for_each(visit);
    else
        visit(field);
}

/// The patterns that cut text into words before byte-level merges, one after the other.
[[nodiscard]] std::vector<std::string> split_patterns(const json_field& pre_tokenizer) {
    std::vector<std::string> patterns;
    for_each_step(pre_tokenizer, "pretokenizers", [&](const json_field& step) {
        const std::string& type = step["type"].text();
        if (type == "Split") {
            patterns.push_back(step["pattern"]["Regex"].text());
        } else if (type == "Digits") {
            patterns.emplace_back(step["individual_digits"].flag() ? R"(\p{N})" : R"(\p{N}+)");
        } else if (type == "Metaspace" || step["add_prefix_space"].flag()) {
            fail<option_error>(step.place(), ": spaces in front of words are not among llama.cpp's rules for bytes");
        } else if (step["use_regex"].flag_or(true)) {
            patterns.emplace_back(gpt2_pattern);
        }
    });
    return patterns;
}

/// What llama.cpp has under a name.
struct named_rules {
    std::string_view name;
    std::vector<std::string_view> patterns;
    bool whole_words_first;
};

constexpr std::string_view llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

[[nodiscard]] std::string pre_tokenizer_name(const json_field& root, bool has_merges) {
    const std::array<named_rules, 5> known = {{
        {"llama-bpe", {llama3_pattern}, true},
        {"smaug-bpe", {llama3_pattern}, false},
        {"qwen2", {qwen2_pattern}, false},
        {"gpt-2", {gpt2_pattern}, false},
        {"smollm", {R"(\p{N})", gpt2_pattern}, false},
    }};
    const auto patterns = split_patterns(root["pre_tokenizer"]);
    const bool whole_words_first = root["model"]["ignore_merges"].flag_or(false);
    if (!has_merges && !whole_words_first) return "gpt-2";  // nothing merges, however text is cut
    for (const named_rules& rules : known)
        if (std::ranges::equal(rules.patterns, patterns) && rules.whole_words_first == whole_words_first)
            return std::string(rules.name);
    std::string found = whole_words_first ? "; whole words first" : "";
    for (const std::string& pattern : patterns) found += "; " + pattern;
    fail<option_error>(root["pre_tokenizer"].place(),
                       ": llama.cpp has no such rules under a name that is known here (llama-bpe, smaug-bpe, qwen2, "
                       "gpt-2, smollm)",
                       found);
}

void read_byte_level(const json_field& root, gguf_vocabulary& out) {
    if (!root["normalizer"].is_null())
        fail<option_error>(root["normalizer"].place(), ": llama.cpp has no normalizer before byte-level merges");
    out.model = "gpt2";
    root["model"]["merges"].for_each([&](const json_field& merge) { out.merges.push_back(merge_text(merge)); });
    out.pre_tokenizer = pre_tokenizer_name(root, !out.merges.empty());
}

/// "Prepend ▁", "Replace ' ' ▁", "Metaspace ▁ first": what becomes of spaces, in words.
[[nodiscard]] std::vector<std::string> space_rules(const json_field& root) {
    std::vector<std::string> rules;
    for_each_step(root["normalizer"], "normalizers", [&](const json_field& step) {
        const bool prepends = step["type"].text() == "Prepend";
        rules.push_back(prepends ? text("Prepend ", step["prepend"].text())
                                 : text("Replace '", step["pattern"]["String"].text(), "' ", step["content"].text()));
    });
    for_each_step(root["pre_tokenizer"], "pretokenizers", [&](const json_field& step) {
        const std::string& type = step["type"].text();
        if (type != "Metaspace") return rules.push_back(type);
        const std::string scheme = step["add_prefix_space"].flag_or(true) ? "always" : "never";
        rules.push_back(text("Metaspace ", step["replacement"].text(), " ", step["prepend_scheme"].text_or(scheme),
                             step["split"].flag_or(true) ? ", split" : ""));
    });
    return rules;
}

void read_space_rules(const json_field& root, gguf_vocabulary& out) {
    const std::string mark(gguf_space), replace = "Replace ' ' " + mark, metaspace = "Metaspace " + mark;
    const std::vector<std::string> rules = space_rules(root);
    const auto are = [&](std::initializer_list<std::string> known) { return std::ranges::equal(rules, known); };
    const bool in_front_of_words = are({metaspace + " first"}) || are({metaspace + " always"});
    out.space_in_front = in_front_of_words || are({"Prepend " + mark, replace});
    if (in_front_of_words)
        out.remarks.push_back(
            text(root.place(), ": a text that begins with a space gets another one in front in llama.cpp"));
    if (out.space_in_front || are({replace}) || are({metaspace + " never"})) return;
    std::string found;
    for (const std::string& rule : rules) found += "; " + rule;
    fail<option_error>(root.place(), ": llama.cpp's SentencePiece only writes ", mark,
                       " for spaces and puts one in front of texts, but normalizer and pre_tokenizer say more", found);
}

void read_sentencepiece_like(const json_field& root, gguf_vocabulary& out) {
    const json_field model = root["model"];
    if (model["ignore_merges"].flag_or(false))
        fail<option_error>(model.place(), ": ignore_merges is true, which llama.cpp's SentencePiece has not");
    out.model = "llama";
    read_space_rules(root, out);
    const merge_scores scores(model);
    for (std::uint32_t id = 0; id < out.tokens.size(); ++id) {
        gguf_token& token = out.tokens[id];
        token.score = scores.of(id);
        if (byte_of(token.text) && token.type == gguf_token_type::normal) token.type = gguf_token_type::byte;
        if (token.type == gguf_token_type::normal) scores.expect_all_merges_of(token.text);
    }
    out.expect_bytes(model.place());
}

/// Whether the template that is put around a text begins with a token.
void read_template(const json_field& post_processor, gguf_vocabulary& out) {
    for_each_step(post_processor, "processors", [&](const json_field& step) {
        if (step["type"].text() != "TemplateProcessing") return;
        std::vector<json_field> parts;
        step["single"].for_each([&](const json_field& part) { parts.push_back(part); });
        out.adds_bos = !parts.empty() && !parts.front()["SpecialToken"].is_null();
    });
}

void read_tokens(const json_field& root, gguf_vocabulary& out) {
    const json_field model = root["model"], unknown = model["unk_token"], added = root["added_tokens"];
    model["vocab"].for_each_member([&](const std::string& name, const json_field& id) {
        out.put(id.number(), {name, gguf_token_type::normal}, id.place());
    });
    if (!added.is_null())
        added.for_each([&](const json_field& token) {
            const bool special = token["special"].flag_or(false);
            const auto type = special ? gguf_token_type::control : gguf_token_type::user_defined;
            out.put(token["id"].number(), {token["content"].text(), type}, token.place());
        });
    if (unknown.is_null()) return;
    const auto found = std::ranges::find(out.tokens, unknown.text(), &gguf_token::text);
    found->type = gguf_token_type::unknown;
    out.unknown = static_cast<std::uint32_t>(found - out.tokens.begin());
}

}  // namespace

void read_json_vocabulary(const fs::path& folder, gguf_vocabulary& out) {
    const bool byte_level = read_tokenizer_json(folder).pieces.smallest == bpe::unit::byte;
    const fs::path file = folder / "tokenizer.json";
    const nlohmann::json document = parse_json(file);
    const json_field root(document, file.string());
    read_tokens(root, out);
    byte_level ? read_byte_level(root, out) : read_sentencepiece_like(root, out);
    read_template(root["post_processor"], out);
}

}  // namespace llama
