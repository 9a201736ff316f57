// Tokenizers as llama.cpp's metadata. That llama.cpp makes the same ids of them is what tests/interop asks.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/error.hpp>
#include <nlohmann/json.hpp>

#include "gguf_tokenizer.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace gguf_tokenizer_test {

namespace {

using nlohmann::json;
using strings = std::vector<std::string>;
using numbers = std::vector<std::int32_t>;

llama::config config_of(std::size_t vocab_size) {
    llama::config shape;
    shape.vocab_size = vocab_size;
    shape.ends = {2};
    return shape;
}

/// What is under a key; a test that asks for what is not there fails.
template <class T>
const T& value(const llama::gguf_tokenizer& tokenizer, std::string_view key) {
    return gptq::io::at<T>(tokenizer.keys, std::string("tokenizer.") + std::string(key), "the test's file");
}

bool has(const llama::gguf_tokenizer& tokenizer, const std::string& key) {
    return tokenizer.keys.contains("tokenizer." + key);
}

llama::gguf_tokenizer read(const json& file, const llama::config& shape, const json& config = json::object()) {
    const temp_folder folder;
    folder.write("tokenizer.json", file.dump());
    folder.write("tokenizer_config.json", config.dump());
    return llama::read_gguf_tokenizer(folder.path(), shape);
}

/// What option_error says of it.
std::string refusal(const json& file, const llama::config& shape) {
    try {
        static_cast<void>(read(file, shape));
    } catch (const gptq::option_error& e) {
        return e.what();
    }
    return "accepted";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

json with(json file, const char* pointer, json value) {
    file[json::json_pointer(pointer)] = std::move(value);
    return file;
}

json token(std::uint32_t id, const std::string& content, bool special) {
    return {{"id", id}, {"content", content}, {"special", special}};
}

constexpr const char* llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json split(const char* pattern) {
    return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

json byte_level_step(bool use_regex) {
    return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", use_regex}};
}

/// "a" 0, "b" 1, "ab" 2, with the steps before.
json byte_level(const json& steps, bool whole_words_first = false) {
    return {{"added_tokens", json::array({token(4, "<|end|>", true), token(5, "<t>", false)})},
            {"normalizer", nullptr},
            {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}},
            {"decoder", byte_level_step(true)},
            {"model",
             {{"type", "BPE"},
              {"ignore_merges", whole_words_first},
              {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}},
              {"merges", json::array({"a b"})}}}};
}

/// <unk>, <s>, </s>, the bytes from 3, then "▁" 259, "a", "b", "▁a" 262, "ab" 263, "▁ab" 264.
json sentencepiece() {
    json vocab = json::object();
    for (const char* const piece : {"<unk>", "<s>", "</s>"}) vocab[piece] = vocab.size();
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (std::size_t b = 0; b < 256; ++b)
        vocab[std::string("<0x") + digits[b / 16] + digits[b % 16] + ">"] = vocab.size();
    for (const char* const piece : {"▁", "a", "b", "▁a", "ab", "▁ab"}) vocab[piece] = vocab.size();
    const json mark = {{"String", "▁"}}, space = {{"String", " "}};
    const json normalizers = json::array(
        {{{"type", "Prepend"}, {"prepend", "▁"}}, {{"type", "Replace"}, {"pattern", space}, {"content", "▁"}}});
    const json decoders =
        json::array({{{"type", "Replace"}, {"pattern", mark}, {"content", " "}}, {{"type", "ByteFallback"}}});
    return {{"added_tokens", json::array({token(0, "<unk>", true), token(1, "<s>", true), token(2, "</s>", true)})},
            {"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}},
            {"pre_tokenizer", nullptr},
            {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
            {"model",
             {{"type", "BPE"},
              {"unk_token", "<unk>"},
              {"byte_fallback", true},
              {"vocab", vocab},
              {"merges", json::array({"▁ a", "a b", "▁ ab", "▁a b"})}}}};
}

json metaspace(const char* scheme, bool split) {
    return {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", split}};
}

json with_metaspace(const char* scheme, bool split) {
    return with(with(sentencepiece(), "/normalizer", nullptr), "/pre_tokenizer", metaspace(scheme, split));
}

std::string little_endian(std::uint32_t x) {
    std::string bytes;
    for (unsigned shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(x >> shift & 0xFFU);
    return bytes;
}

}  // namespace

TEST_CASE("byte-level merges are copied, under the name that llama.cpp has for what cuts the text", "[gguf]") {
    const auto name = [](const json& steps, bool whole_words_first = false) {
        return value<std::string>(read(byte_level(steps, whole_words_first), config_of(6)), "ggml.pre");
    };
    CHECK(name(json::array({split(llama3), byte_level_step(false)}), true) == "llama-bpe");
    CHECK(name(json::array({split(llama3), byte_level_step(false)})) == "smaug-bpe");
    CHECK(name(json::array({split(qwen2), byte_level_step(false)})) == "qwen2");
    CHECK(name(json::array({byte_level_step(true)})) == "gpt-2");
    const json digits = {{"type", "Digits"}, {"individual_digits", true}};
    CHECK(name(json::array({digits, byte_level_step(true)})) == "smollm");

    const auto tokenizer = read(byte_level(json::array({byte_level_step(true)})), config_of(6));
    CHECK(value<std::string>(tokenizer, "ggml.model") == "gpt2");
    CHECK(value<strings>(tokenizer, "ggml.tokens") == strings{"a", "b", "ab", "[PAD3]", "<|end|>", "<t>"});
    CHECK(value<numbers>(tokenizer, "ggml.token_type") == numbers{1, 1, 1, 5, 3, 4});
    CHECK(value<strings>(tokenizer, "ggml.merges") == strings{"a b"});
    CHECK(!has(tokenizer, "ggml.scores"));
    CHECK(tokenizer.remarks.empty());
}

TEST_CASE("merges may be pairs", "[gguf]") {
    const json file =
        with(byte_level(json::array({byte_level_step(true)})), "/model/merges", json::array({{"a", "b"}}));
    CHECK(value<strings>(read(file, config_of(6)), "ggml.merges") == strings{"a b"});
}

TEST_CASE("text that llama.cpp would cut in another way is refused, unless nothing merges", "[gguf]") {
    const json uncut = byte_level(json::array({byte_level_step(false)}));
    CHECK(contains(refusal(uncut, config_of(6)), "llama.cpp has no such rules"));
    CHECK(value<std::string>(read(with(uncut, "/model/merges", json::array()), config_of(6)), "ggml.pre") == "gpt-2");
    CHECK(value<strings>(read(with(uncut, "/model/merges", json::array()), config_of(6)), "ggml.merges").empty());
    const json other = byte_level(json::array({split(R"(\p{L}+)"), byte_level_step(false)}), true);
    CHECK(contains(refusal(other, config_of(6)), R"(; whole words first; \p{L}+)"));
    json spaced = byte_level(json::array({byte_level_step(true)}));
    spaced["pre_tokenizer"]["pretokenizers"][0]["add_prefix_space"] = true;
    CHECK(contains(refusal(spaced, config_of(6)), "spaces in front"));
    const json prepended =
        with(byte_level(json::array({byte_level_step(true)})), "/normalizer", {{"type", "Prepend"}, {"prepend", "x"}});
    CHECK(contains(refusal(prepended, config_of(6)), "normalizer"));
}

TEST_CASE("merges of a SentencePiece-like file become scores, the first the highest", "[gguf]") {
    const auto tokenizer = read(sentencepiece(), config_of(265));
    CHECK(value<std::string>(tokenizer, "ggml.model") == "llama");
    CHECK(value<bool>(tokenizer, "ggml.add_space_prefix"));
    const auto& tokens = value<strings>(tokenizer, "ggml.tokens");
    const auto& scores = value<std::vector<float>>(tokenizer, "ggml.scores");
    const auto& types = value<numbers>(tokenizer, "ggml.token_type");
    CHECK(strings(tokens.begin() + 259, tokens.end()) == strings{"▁", "a", "b", "▁a", "ab", "▁ab"});
    CHECK(std::vector<float>(scores.begin() + 259, scores.end()) == std::vector<float>{-3, -3, -3, 0, -1, -2});
    CHECK(numbers(types.begin(), types.begin() + 4) == numbers{2, 3, 3, 6});
    CHECK(types[259] == 1);
    CHECK(value<std::uint32_t>(tokenizer, "ggml.unknown_token_id") == 0);
    CHECK(!has(tokenizer, "ggml.merges"));
    CHECK(tokenizer.remarks.empty());
}

TEST_CASE("what becomes of spaces is told to llama.cpp, or refused where it cannot do it", "[gguf]") {
    const auto never = read(with_metaspace("never", false), config_of(265));
    CHECK(!value<bool>(never, "ggml.add_space_prefix"));
    CHECK(never.remarks.empty());
    const auto first = read(with_metaspace("first", false), config_of(265));
    CHECK(value<bool>(first, "ggml.add_space_prefix"));
    REQUIRE(first.remarks.size() == 1);
    CHECK(contains(first.remarks[0], "begins with a space"));
    CHECK(contains(refusal(with_metaspace("first", true), config_of(265)), "; Metaspace ▁ first, split"));
    const json replaced = with(sentencepiece(), "/normalizer", sentencepiece()["normalizer"]["normalizers"][1]);
    CHECK(!value<bool>(read(replaced, config_of(265)), "ggml.add_space_prefix"));
    CHECK(contains(refusal(with(sentencepiece(), "/normalizer", nullptr), config_of(265)), "SentencePiece only"));
}

TEST_CASE("merges whose order no score says are refused", "[gguf]") {
    const auto refused = [](const json& merges) {
        return refusal(with(sentencepiece(), "/model/merges", merges), config_of(265));
    };
    CHECK(contains(refused({"▁ a", "▁ ab", "a b", "▁a b"}), "do not stand together"));
    CHECK(contains(refused({"▁ a", "a b", "▁ ab"}), R"(would merge "▁a" and "b")"));
    CHECK(contains(refusal(with(sentencepiece(), "/model/ignore_merges", true), config_of(265)), "ignore_merges"));
    json spaced = sentencepiece();
    spaced["model"]["vocab"].update({{"a b", 265}, {"a ba", 266}});
    spaced["model"]["merges"] = json::array({json::array({"a b", "a"})});
    CHECK(contains(refusal(spaced, config_of(267)), "a piece with a space in it"));
    json rare = sentencepiece();
    rare["model"]["vocab"]["éa"] = 265;  // é itself has no token; llama.cpp merges it all the same
    CHECK(contains(refusal(rare, config_of(266)), R"(would merge "é" and "a")"));
    json unbound = sentencepiece();
    unbound["model"]["byte_fallback"] = false;
    unbound["model"]["vocab"].erase("<0x41>");
    CHECK(contains(refusal(unbound, config_of(265)), "255 of the 256 bytes"));
}

TEST_CASE("a score file of llama2.c keeps its scores, and gets SentencePiece's spaces and names", "[gguf]") {
    std::string file = little_endian(7);
    const auto add = [&](float score, const std::string& piece) {
        file += little_endian(std::bit_cast<std::uint32_t>(score)) +
                little_endian(static_cast<std::uint32_t>(piece.size()));
        file += piece;
    };
    for (const char* const piece : {"<unk>", "\n<s>\n", "\n</s>\n"}) add(0, piece);
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (std::size_t b = 0; b < 256; ++b) add(0, std::string("<0x") + digits[b / 16] + digits[b % 16] + ">");
    add(-0.5F, " a");
    const temp_folder folder;
    folder.write("tok260.bin", file);
    const auto tokenizer = llama::read_gguf_tokenizer(folder.path(), config_of(261));
    const auto& tokens = value<strings>(tokenizer, "ggml.tokens");
    CHECK(strings{tokens[0], tokens[1], tokens[2], tokens[3]} == strings{"<unk>", "<s>", "</s>", "<0x00>"});
    CHECK(strings(tokens.end() - 2, tokens.end()) == strings{"▁a", "[PAD260]"});
    CHECK(value<std::vector<float>>(tokenizer, "ggml.scores")[259] == -0.5F);
    CHECK(value<numbers>(tokenizer, "ggml.token_type")[258] == 6);
    CHECK(value<bool>(tokenizer, "ggml.add_space_prefix"));
    CHECK(value<bool>(tokenizer, "ggml.add_bos_token"));
    CHECK(value<std::uint32_t>(tokenizer, "ggml.bos_token_id") == 1);
    CHECK(value<std::uint32_t>(tokenizer, "ggml.eos_token_id") == 2);
}

TEST_CASE("a text begins with BOS if the tokenizer says so, or says nothing and there is one", "[gguf]") {
    const auto adds_bos = [](const json& file, const json& config, bool model_has_bos = false) {
        llama::config shape = config_of(265);
        if (model_has_bos) shape.bos = 1;
        return value<bool>(read(file, shape, config), "ggml.add_bos_token");
    };
    const auto templated = [](const json& first) {
        const json single = json::array({first, {{"Sequence", {{"id", "A"}}}}});
        return with(sentencepiece(), "/post_processor", {{"type", "TemplateProcessing"}, {"single", single}});
    };
    const json begins = templated({{"SpecialToken", {{"id", "<s>"}}}}),
               plain = templated({{"Sequence", {{"id", "A"}}}});
    CHECK(!adds_bos(sentencepiece(), json::object()));
    CHECK(adds_bos(sentencepiece(), json::object(), true));
    CHECK(adds_bos(sentencepiece(), {{"bos_token", "<s>"}}));
    CHECK(adds_bos(sentencepiece(), {{"bos_token", {{"content", "<s>"}}}}));
    CHECK(!adds_bos(sentencepiece(), {{"bos_token", "<s>"}, {"add_bos_token", false}}));
    CHECK(adds_bos(begins, {{"bos_token", "<s>"}}));
    CHECK(!adds_bos(plain, {{"bos_token", "<s>"}}));
    CHECK(!adds_bos(begins, json::object()));
}

TEST_CASE("up to three tokens end a text, the tokenizer's own for a turn; there must be one", "[gguf]") {
    llama::config shape = config_of(265);
    shape.ends = {0, 260, 261};
    const auto tokenizer =
        read(sentencepiece(), shape, {{"eos_token", "b"}, {"pad_token", "a"}, {"unk_token", "<unk>"}});
    CHECK(value<std::uint32_t>(tokenizer, "ggml.eos_token_id") == 0);
    CHECK(value<std::uint32_t>(tokenizer, "ggml.eot_token_id") == 261);
    CHECK(value<std::uint32_t>(tokenizer, "ggml.eom_token_id") == 260);
    CHECK(value<std::uint32_t>(tokenizer, "ggml.padding_token_id") == 260);
    CHECK(tokenizer.remarks.empty());
    shape.ends = {0, 259, 260, 261};
    const auto four = read(sentencepiece(), shape);
    REQUIRE(four.remarks.size() == 1);
    CHECK(contains(four.remarks[0], "token 261 ends a text"));
    shape.ends.clear();
    CHECK(contains(refusal(sentencepiece(), shape), "no token ends a text"));
}

TEST_CASE("tokens that the model has no row for, and texts that two ids have, are refused", "[gguf]") {
    CHECK(contains(refusal(sentencepiece(), config_of(264)), "has the id 264, but the model only 264 tokens"));
    json twice = sentencepiece();
    twice["added_tokens"].push_back(token(266, "[PAD265]", false));
    CHECK(contains(refusal(twice, config_of(267)), "\"[PAD265]\", and so is another"));
}

TEST_CASE("a chat template is copied, from wherever it is", "[gguf]") {
    const json several = {{{"name", "tool_use"}, {"template", "no"}}, {{"name", "default"}, {"template", "yes"}}};
    const auto found = [](const json& chat_template) {
        return value<std::string>(read(sentencepiece(), config_of(265), {{"chat_template", chat_template}}),
                                  "chat_template");
    };
    CHECK(found("yes") == "yes");
    CHECK(found(several) == "yes");
    CHECK(!has(read(sentencepiece(), config_of(265)), "chat_template"));
}

TEST_CASE("a folder without a tokenizer becomes a file that takes ids", "[gguf]") {
    const temp_folder folder;
    const auto tokenizer = llama::read_gguf_tokenizer(folder.path(), config_of(10));
    CHECK(value<std::string>(tokenizer, "ggml.model") == "none");
    CHECK(tokenizer.keys.size() == 1);
    CHECK(tokenizer.remarks.size() == 1);
}

}  // namespace gguf_tokenizer_test
