// One reader for each kind of step, and the alphabet in which byte-level tokenizers write bytes.
#include "tokenizer_json_steps.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "tokenizer_utf8.hpp"

namespace llama {
namespace {

/// The steps a field means: none for null, the members of a Sequence, or itself.
[[nodiscard]] std::vector<json_field> steps_of(const json_field& field, const std::string& members) {
    std::vector<json_field> steps;
    if (field.is_null()) return steps;
    if (field["type"].text() == "Sequence") {
        field[members].for_each([&](const json_field& step) { steps.push_back(step); });
    } else {
        steps.push_back(field);
    }
    return steps;
}

/// How many times as long the steps of a file can make a text. A few of them that each make it ten times as long would
/// fill any memory with the name of one token.
class growth {
public:
    void add(double factor, const json_field& step) {
        factor_ *= factor;
        if (factor_ > 64) step.refuse("steps that together make a text at most 64 times as long");
    }

private:
    double factor_ = 1;
};

[[nodiscard]] prepend read_prepend(const json_field& step, growth& total) {
    const json_field what = step["prepend"];
    total.add(1 + static_cast<double>(what.text().size()), what);
    return {what.text()};
}

[[nodiscard]] replace read_replace(const json_field& step, growth& total) {
    const json_field pattern = step["pattern"]["String"], content = step["content"];
    if (!pattern.is_string() || pattern.text().empty()) pattern.refuse("a string that is not empty");
    const double ratio = static_cast<double>(content.text().size()) / static_cast<double>(pattern.text().size());
    total.add(std::max(1.0, ratio), content);
    return {pattern.text(), content.text()};
}

[[nodiscard]] split_regex compiled(std::string_view pattern, const json_field& at) {
    try {
        return split_regex(pattern);
    } catch (const gptq::format_error& e) {
        gptq::detail::fail<gptq::format_error>(at.place(), ": ", e.what());
    }
}

[[nodiscard]] split_regex read_split(const json_field& step) {
    step["behavior"].expect("Isolated");
    step["invert"].expect(false);
    const json_field pattern = step["pattern"]["Regex"];
    return compiled(pattern.text(), pattern);
}

[[nodiscard]] metaspace read_metaspace(const json_field& step) {
    using enum metaspace::prefix;
    const json_field scheme = step["prepend_scheme"];
    const std::string name = scheme.text_or(step["add_prefix_space"].flag_or(true) ? "always" : "never");
    if (name != "always" && name != "first" && name != "never") scheme.refuse("always, first or never");
    const json_field mark = step["replacement"];
    if (mark.text().empty() || character_bytes(mark.text()) != mark.text().size()) mark.refuse("a character");
    return {mark.text(), name == "always" ? always : name == "first" ? first : never, step["split"].flag_or(true)};
}

void read_byte_level(const json_field& step, tokenizer_model& model) {
    if (step["add_prefix_space"].flag()) model.pre_tokenizers.emplace_back(leading_space{});
    if (step["use_regex"].flag_or(true)) model.pre_tokenizers.emplace_back(compiled(gpt2_pattern, step));
    model.pieces.smallest = bpe::unit::byte;
}

/// Digits cuts out each number character, or each run of them.
[[nodiscard]] split_regex read_digits(const json_field& step) {
    return compiled(step["individual_digits"].flag() ? R"(\p{N})" : R"(\p{N}+)", step);
}

void read_pre_tokenizer_step(const json_field& step, tokenizer_model& model) {
    const std::string& type = step["type"].text();
    if (model.pieces.smallest == bpe::unit::byte) step["type"].refuse("no step after ByteLevel");
    if (type == "ByteLevel") {
        read_byte_level(step, model);
    } else if (type == "Split") {
        model.pre_tokenizers.emplace_back(read_split(step));
    } else if (type == "Digits") {
        model.pre_tokenizers.emplace_back(read_digits(step));
    } else if (type == "Metaspace") {
        model.pre_tokenizers.emplace_back(read_metaspace(step));
    } else {
        step["type"].refuse("ByteLevel, Split, Digits, Metaspace or one Sequence of them");
    }
}

/// Strip takes spaces off the fused text; more than one in front, or any behind, is what no LLaMA asks for.
[[nodiscard]] lost_in_front read_strip(const json_field& step) {
    step["content"].expect(" ");
    step["stop"].expect(0);
    const json_field start = step["start"];
    if (start.number() > 1) start.refuse("0 or 1");
    return start.number() == 1 ? lost_in_front::space : lost_in_front::nothing;
}

/// Reads [Replace …, ByteFallback, Fuse, Strip] in that order; each may be missing, and Strip needs Fuse.
[[nodiscard]] token_spelling read_sentencepiece_decoder(const std::vector<json_field>& steps, tokenizer_model& model) {
    token_spelling spelling;
    growth total;
    enum { replacing, byte_fallback, fuse, strip } reached = replacing;
    for (const json_field& step : steps) {
        const std::string& type = step["type"].text();
        if (type == "Replace" && reached == replacing) {
            spelling.replacements.push_back(read_replace(step, total));
        } else if (type == "ByteFallback" && reached < byte_fallback) {
            reached = byte_fallback;
            spelling.byte_pieces = true;
        } else if (type == "Fuse" && reached < fuse) {
            reached = fuse;
        } else if (type == "Strip" && reached == fuse) {
            reached = strip;
            model.lost = read_strip(step);
        } else {
            step["type"].refuse("ByteLevel, Metaspace, or a Sequence of Replace, ByteFallback, Fuse, Strip");
        }
    }
    return spelling;
}

void read_metaspace_decoder(const json_field& step, tokenizer_model& model, token_spelling& spelling) {
    metaspace rule = read_metaspace(step);
    if (rule.in_front == metaspace::prefix::never) {
        spelling.replacements.push_back({rule.mark, " "});
    } else {
        model.lost = lost_in_front::metaspaces;
        model.metaspace_mark = std::move(rule.mark);
    }
}

/// For each character up to U+0143 the byte it stands for, or −1.
[[nodiscard]] std::array<int, 0x144> byte_level_alphabet() {
    std::array<int, 0x144> byte_of_character{};
    byte_of_character.fill(-1);
    std::size_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        byte_of_character[printable ? static_cast<std::size_t>(byte) : next++] = byte;
    }
    return byte_of_character;
}

}  // namespace

std::optional<std::string> byte_level_bytes(std::string_view token) {
    static const auto alphabet = byte_level_alphabet();
    std::string bytes;
    while (!token.empty()) {
        const std::size_t size = character_bytes(token);
        if (size > 2) return std::nullopt;
        const auto unit = [&](std::size_t i) { return static_cast<unsigned char>(token[i]); };
        const std::size_t character = size == 1 ? unit(0) : (unit(0) & 0x1FU) << 6 | (unit(1) & 0x3FU);
        if (character >= alphabet.size() || alphabet[character] < 0) return std::nullopt;
        bytes += static_cast<char>(alphabet[character]);
        token.remove_prefix(size);
    }
    return bytes;
}

std::string token_spelling::printed(const std::string& token) const {
    if (byte_level) return byte_level_bytes(token).value_or(token);
    std::string text = token;
    for (const replace& r : replacements) replace_all(text, r.from, r.to);
    if (byte_pieces) {
        if (const auto byte = byte_of(text)) return std::string(1, *byte);
    }
    return text;
}

void read_normalizer(const json_field& field, tokenizer_model& model) {
    growth total;
    for (const json_field& step : steps_of(field, "normalizers")) {
        const std::string& type = step["type"].text();
        if (type == "Prepend") {
            model.normalizers.emplace_back(read_prepend(step, total));
        } else if (type == "Replace") {
            model.normalizers.emplace_back(read_replace(step, total));
        } else {
            step["type"].refuse("Prepend, Replace or one Sequence of them");
        }
    }
}

void read_pre_tokenizer(const json_field& field, tokenizer_model& model) {
    for (const json_field& step : steps_of(field, "pretokenizers")) read_pre_tokenizer_step(step, model);
}

token_spelling read_decoder(const json_field& field, tokenizer_model& model) {
    const std::vector<json_field> steps = steps_of(field, "decoders");
    if (steps.empty()) field.refuse("ByteLevel, Metaspace, or a Sequence of Replace, ByteFallback, Fuse, Strip");
    token_spelling spelling;
    const std::string& type = steps.front()["type"].text();
    if (steps.size() == 1 && type == "ByteLevel") {
        spelling.byte_level = true;
    } else if (steps.size() == 1 && type == "Metaspace") {
        read_metaspace_decoder(steps.front(), model, spelling);
    } else {
        spelling = read_sentencepiece_decoder(steps, model);
    }
    return spelling;
}

}  // namespace llama
