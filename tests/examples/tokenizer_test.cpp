// tokenizer.json and the choice of a folder's tokenizer. The ids written here are those of Hugging Face's `tokenizers`.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <nlohmann/json.hpp>
#include "../../examples/llama/tokenizer.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace tokenizer_test {

namespace {

using nlohmann::json;
using ids = std::vector<std::uint32_t>;

llama::tokenizer opened(const json& file) {
    const temp_folder folder;
    folder.write("tokenizer.json", file.dump());
    return llama::tokenizer::open(folder.path());
}

json token(std::uint32_t id, const std::string& content, bool special = true, bool normalized = false) {
    return {{"id", id},        {"content", content}, {"single_word", false},    {"lstrip", false},
            {"rstrip", false}, {"special", special}, {"normalized", normalized}};
}

std::string utf8(std::uint32_t character) {  // up to U+07FF
    if (character < 0x80) return std::string(1, static_cast<char>(character));
    return {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 0x3F))};
}

/// The character that a byte-level tokenizer writes for a byte.
std::string written(std::uint32_t byte) {
    const auto printable = [](std::uint32_t b) { return (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD); };
    if (printable(byte)) return utf8(byte);
    std::uint32_t before = 0;
    for (std::uint32_t b = 0; b < byte; ++b) before += printable(b) ? 0 : 1;
    return utf8(0x100 + before);
}

/// Byte level, id = byte, no merges and no pattern.
json byte_level() {
    json vocab = json::object();
    for (std::uint32_t b = 0; b < 256; ++b) vocab[written(b)] = b;
    const json level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
    return {{"version", "1.0"},
            {"truncation", nullptr},
            {"added_tokens", json::array()},
            {"normalizer", nullptr},
            {"pre_tokenizer", level},
            {"post_processor", nullptr},
            {"decoder", level},
            {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}}};
}

/// As byte_level, with "he" 256, "ll" 257, "hell" 258, "Ġw" 259, "lo" 260 merged in this order.
json merging() {
    json file = byte_level();
    for (const char* const piece : {"he", "ll", "hell", "\u0120w", "lo"})
        file["model"]["vocab"][piece] = file["model"]["vocab"].size();
    file["model"]["merges"] = json::array({"h e", "l l", "he ll", "\u0120 w", "l o"});
    return file;
}

/// <unk>, <s>, </s>, the bytes from 3, then "▁" 259, "a", "b", "é", "▁a" 263, "ab" 264, "▁ab" 265.
json sentencepiece() {
    json vocab = json::object();
    for (const char* const piece : {"<unk>", "<s>", "</s>"}) vocab[piece] = vocab.size();
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (std::size_t b = 0; b < 256; ++b)
        vocab[std::string("<0x") + digits[b / 16] + digits[b % 16] + ">"] = vocab.size();
    for (const char* const piece : {"▁", "a", "b", "é", "▁a", "ab", "▁ab"}) vocab[piece] = vocab.size();
    const json mark = {{"String", "▁"}}, space = {{"String", " "}};
    const json normalizers = json::array(
        {{{"type", "Prepend"}, {"prepend", "▁"}}, {{"type", "Replace"}, {"pattern", space}, {"content", "▁"}}});
    const json decoders = json::array({{{"type", "Replace"}, {"pattern", mark}, {"content", " "}},
                                       {{"type", "ByteFallback"}},
                                       {{"type", "Fuse"}},
                                       {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}});
    return {{"added_tokens", json::array({token(0, "<unk>"), token(1, "<s>"), token(2, "</s>")})},
            {"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}},
            {"pre_tokenizer", nullptr},
            {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
            {"model",
             {{"type", "BPE"},
              {"unk_token", "<unk>"},
              {"fuse_unk", true},
              {"byte_fallback", true},
              {"vocab", vocab},
              {"merges", json::array({"▁ a", "a b", "▁ ab", "▁a b"})}}}};
}

json metaspace(const char* scheme, bool split) {
    return {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", split}};
}

json with(json file, const char* pointer, json value) {
    file[json::json_pointer(pointer)] = std::move(value);
    return file;
}

/// What format_error says of a folder.
std::string complaint(const std::filesystem::path& folder) {
    try {
        static_cast<void>(llama::tokenizer::open(folder));
    } catch (const gptq::format_error& e) {
        return e.what();
    }
    return "no error";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::string random_bytes(std::mt19937& random) {
    std::string text(random() % 30, '\0');
    for (char& c : text) c = random() % 2 == 0 ? static_cast<char>(random() % 256) : "hello w'\xc3\xa4"[random() % 10];
    return text;
}

std::string streamed(const llama::tokenizer& tokenizer, const ids& tokens) {
    llama::text_stream stream(tokenizer);
    std::string text;
    for (const std::uint32_t id : tokens) text += stream.next(id);
    return text;
}

}  // namespace

TEST_CASE("a byte-level tokenizer without merges has the bytes as ids", "[tokenizer]") {
    const auto tokenizer = opened(byte_level());
    CHECK(tokenizer.vocab_size() == 256);
    CHECK(!tokenizer.bos());
    CHECK(tokenizer.encode(std::string("\0 a\xff\n", 5)) == ids{0, 32, 'a', 255, 10});
    CHECK(tokenizer.encode("").empty());
    std::string all;
    for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
    CHECK(tokenizer.decode(tokenizer.encode(all)) == all);
}

TEST_CASE("merges are done in their order, written as strings or as pairs", "[tokenizer]") {
    json pairs = merging();
    pairs["model"]["merges"] = json::parse(R"([["h","e"],["l","l"],["he","ll"],["\u0120","w"],["l","o"]])");
    for (const json& file : {merging(), pairs}) {
        const auto tokenizer = opened(file);
        CHECK(tokenizer.encode("hello wlo") == ids{258, 'o', 259, 260});
        CHECK(tokenizer.decode(ids{258, 'o', 259, 260}) == "hello wlo");
    }
}

TEST_CASE("ByteLevel cuts with the pattern of GPT-2, and puts a space in front, if it says so", "[tokenizer]") {
    json file = merging();
    file["model"]["vocab"]["o\u0120"] = 261;
    file["model"]["merges"].push_back("o \u0120");
    CHECK(opened(file).encode("o a") == ids{261, 'a'});
    CHECK(opened(with(file, "/pre_tokenizer/use_regex", true)).encode("o a") == ids{'o', ' ', 'a'});
    CHECK(opened(with(file, "/pre_tokenizer/add_prefix_space", true)).encode("w a") == ids{259, ' ', 'a'});
}

TEST_CASE("a Sequence of Split and ByteLevel works as in Llama 3", "[tokenizer]") {
    json file = merging();
    const json split = {{"type", "Split"}, {"pattern", {{"Regex", "l"}}}, {"behavior", "Isolated"}, {"invert", false}};
    const json digits = {{"type", "Digits"}, {"individual_digits", true}};
    file["pre_tokenizer"] = {{"type", "Sequence"},
                             {"pretokenizers", json::array({split, digits, file["pre_tokenizer"]})}};
    CHECK(opened(file).encode("hello w") == ids{256, 'l', 'l', 'o', 259});
    file["model"]["vocab"]["11"] = 261;
    file["model"]["merges"].push_back("1 1");
    CHECK(opened(file).encode("11") == ids{'1', '1'});
}

TEST_CASE("a word that is a piece is taken whole where merges are to be ignored", "[tokenizer]") {
    json file = merging();
    file["model"]["vocab"]["hello"] = 261;  // no merge makes it
    CHECK(opened(file).encode("hello") == ids{258, 'o'});
    CHECK(opened(with(file, "/model/ignore_merges", true)).encode("hello") == ids{261});
}

TEST_CASE("added tokens are found first, the longest of them, and only special ones are not printed", "[tokenizer]") {
    json file = merging();
    file["added_tokens"] = json::array({token(300, "<|e|>"), token(301, "<|e|>>"), token(302, "<t>", false)});
    const auto tokenizer = opened(file);
    CHECK(tokenizer.vocab_size() == 303);
    CHECK(tokenizer.encode("he<|e|>he<|e|>><t><|e|") == ids{256, 300, 256, 301, 302, '<', '|', 'e', '|'});
    CHECK(tokenizer.decode(ids{256, 300, 302, 12345, 256}) == "he<t>he");
}

TEST_CASE("byte-level ids decode to the bytes they were made of", "[tokenizer]") {
    json llama3 = merging();
    llama3["pre_tokenizer"]["use_regex"] = true;
    const auto plain = opened(merging()), cut = opened(llama3);
    std::mt19937 random(5);
    for (int round = 0; round < 1000; ++round) {
        const std::string text = random_bytes(random);
        REQUIRE(plain.decode(plain.encode(text)) == text);
        REQUIRE(cut.decode(cut.encode(text)) == text);
    }
}

TEST_CASE("a character without a piece is an error, or the unknown token", "[tokenizer]") {
    json file = byte_level();
    file["model"]["vocab"].erase("a");
    CHECK(opened(file).encode("b") == ids{'b'});
    CHECK_THROWS_AS(opened(file).encode("ba"), gptq::format_error);
    file["model"]["unk_token"] = "?";
    CHECK(opened(file).encode("baab") == ids{'b', '?', '?', 'b'});
    file["model"]["fuse_unk"] = true;
    CHECK(opened(file).encode("baaba") == ids{'b', '?', 'b', '?'});
}

TEST_CASE("a SentencePiece-style tokenizer marks spaces and falls back to bytes", "[tokenizer]") {
    const auto tokenizer = opened(sentencepiece());
    CHECK(tokenizer.encode("ab") == ids{265});
    CHECK(tokenizer.encode("b  ab") == ids{259, 261, 259, 265});
    CHECK(tokenizer.encode("é") == ids{259, 262});
    CHECK(tokenizer.encode("中\n") == ids{259, 3 + 0xE4, 3 + 0xB8, 3 + 0xAD, 3 + '\n'});
    CHECK(tokenizer.encode("\xff") == ids{259, 3 + 0xFF});
    CHECK(tokenizer.encode("<s>a</s>") == ids{1, 263, 2});
    CHECK(tokenizer.encode("").empty());
}

TEST_CASE("decoding takes one space off the front and nothing else", "[tokenizer]") {
    const auto tokenizer = opened(sentencepiece());
    CHECK(tokenizer.decode(ids{1, 263, 261, 259, 2, 263}) == "ab  a");
    CHECK(tokenizer.decode(ids{259, 263}) == " a");
    CHECK(tokenizer.decode(ids{3 + 0xE4, 3 + 0xB8, 3 + 0xAD}) == "中");
    for (const char* const text : {"", " ", "  a", "a b", " 中 \n", "é\xff"})
        CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
}

TEST_CASE("the pieces of a stream put together are what decode gives", "[tokenizer]") {
    std::mt19937 random(11);
    json metaspaces = with(sentencepiece(), "/decoder", metaspace("always", true));
    for (const json& file : {sentencepiece(), metaspaces, merging()}) {
        const auto tokenizer = opened(file);
        for (int round = 0; round < 200; ++round) {
            ids tokens(random() % 8);
            for (auto& id : tokens) id = random() % 2 == 0 ? 259 + random() % 8 : random() % 300;
            REQUIRE(streamed(tokenizer, tokens) == tokenizer.decode(tokens));
        }
    }
}

TEST_CASE("Metaspace marks words as its scheme says", "[tokenizer]") {
    const json file = with(sentencepiece(), "/normalizer", nullptr);
    const auto encoded = [&](const char* scheme, bool split, const char* text) {
        return opened(with(file, "/pre_tokenizer", metaspace(scheme, split))).encode(text);
    };
    CHECK(encoded("always", true, "a<s>a") == ids{263, 1, 263});
    CHECK(encoded("first", true, "a<s>a") == ids{263, 1, 260});
    CHECK(encoded("never", true, "a<s>a") == ids{260, 1, 260});
    CHECK(encoded("always", true, " a") == ids{263});

    json split = {{"type", "Split"}, {"pattern", {{"Regex", "b"}}}, {"behavior", "Isolated"}, {"invert", false}};
    json after_split = {{"type", "Sequence"}, {"pretokenizers", json::array({split, metaspace("first", true)})}};
    CHECK(opened(with(file, "/pre_tokenizer", after_split)).encode("aba") == ids{263, 261, 260});

    json across = file;  // a piece that ends with a mark shows whether words are cut
    across["model"]["vocab"]["a▁"] = 266;
    across["model"]["merges"] = json::array({"a ▁"});
    CHECK(opened(with(across, "/pre_tokenizer", metaspace("never", true))).encode("a  a") == ids{260, 259, 259, 260});
    CHECK(opened(with(across, "/pre_tokenizer", metaspace("never", false))).encode("a  a") == ids{266, 259, 260});
    CHECK(opened(with(file, "/decoder", metaspace("always", true))).decode(ids{1, 259, 263, 261}) == " ab");
}

TEST_CASE("tokens that are to be normalized are found as the normalizer leaves them", "[tokenizer]") {
    json file = sentencepiece();
    file["added_tokens"].push_back(token(266, "a b", false, true));  // "▁a▁b"
    const auto tokenizer = opened(file);
    CHECK(tokenizer.encode("a b") == ids{266});
    CHECK(tokenizer.encode("ba b") == ids{259, 261, 260, 259, 261});
    CHECK(tokenizer.encode("b a b") == ids{259, 261, 266});
}

TEST_CASE("what would change the ids and is not known is refused, with the field's name", "[tokenizer]") {
    const json level = byte_level(), spaced = sentencepiece();
    const json split = {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Isolated"}, {"invert", false}};
    const json sequence = {{"type", "Sequence"}, {"pretokenizers", json::array()}};
    struct example {
        json file;
        const char* named;
    };
    for (const auto& [file, named] : std::vector<example>{
             {with(level, "/model/type", "Unigram"), "model: type is \"Unigram\", expected \"BPE\""},
             {with(level, "/model/type", "WordPiece"), "model: type"},
             {with(level, "/model/dropout", 0.1), "model: dropout is 0.1"},
             {with(level, "/model/continuing_subword_prefix", "##"), "continuing_subword_prefix"},
             {with(level, "/model/end_of_word_suffix", "</w>"), "end_of_word_suffix"},
             {with(level, "/model/byte_fallback", true), "byte_fallback"},
             {with(level, "/model/unk_token", "none"), "unk_token"},
             {with(level, "/model/vocab/a", -1), "vocab: a is -1"},
             {with(level, "/model/vocab/a", 4294967296), "vocab: a"},
             {with(level, "/model/vocab/a", 98), "no other token"},
             {with(level, "/model/vocab", json::array()), "vocab is an array, expected an object"},
             {with(level, "/model/merges", nullptr), "merges is null, expected an array"},
             {with(level, "/model/merges", json::array({"a"})), "merges[0]"},
             {with(level, "/model/merges", json::array({"a b c"})), "merges[0]"},
             {with(level, "/model/merges", json::array({"a b"})), "\"ab\" is not in the vocabulary"},
             {with(level, "/model/merges", json::parse(R"([["a", "b", "c"]])")), "merges[0]"},
             {with(level, "/normalizer", {{"type", "NFKC"}}), "normalizer: type is \"NFKC\", expected Prepend"},
             {with(level, "/pre_tokenizer/type", "Whitespace"), "pre_tokenizer: type is \"Whitespace\""},
             {with(level, "/pre_tokenizer",
                   {{"type", "Sequence"}, {"pretokenizers", json::array({level["pre_tokenizer"], split})}}),
              "pretokenizers[1]: type is \"Split\", expected no step after ByteLevel"},
             {with(level, "/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", json::array({sequence})}}),
              "pretokenizers[0]"},
             {with(spaced, "/pre_tokenizer", with(split, "/behavior", "Removed")), "behavior is \"Removed\""},
             {with(spaced, "/pre_tokenizer", with(split, "/invert", true)), "invert is true"},
             {with(spaced, "/pre_tokenizer", with(split, "/pattern", {{"String", "a"}})), "pattern: Regex is null"},
             {with(spaced, "/pre_tokenizer", with(split, "/pattern/Regex", "\\w")), "pattern: Regex: the pattern"},
             {with(spaced, "/pre_tokenizer", metaspace("sometimes", true)), "prepend_scheme"},
             {with(spaced, "/pre_tokenizer", level["pre_tokenizer"]), "decoder is an object"},
             {with(spaced, "/model/vocab", {{"a", 0}, {"<unk>", 1}}), "is not in the vocabulary"},
             {with(spaced, "/normalizer/normalizers/1/pattern", {{"Regex", " "}}), "pattern: String is null"},
             {with(spaced, "/decoder", nullptr), "decoder is null"},
             {with(spaced, "/decoder/type", "WordPiece"), "decoder: type"},
             {with(spaced, "/decoder/decoders/3/start", 2), "start is 2"},
             {with(spaced, "/decoder/decoders/3/stop", 1), "stop is 1"},
             {with(spaced, "/decoder/decoders/2", {{"type", "ByteFallback"}}), "decoders[2]: type"},
             {with(spaced, "/added_tokens/0/lstrip", true), "added_tokens[0]: lstrip is true, expected false"},
             {with(spaced, "/added_tokens/0/id", 7), "added_tokens[0]: id"},
             {json::array(), "is an array, expected an object"}}) {
        CAPTURE(named);
        const temp_folder folder;
        folder.write("tokenizer.json", file.dump());
        const std::string said = complaint(folder.path());
        CAPTURE(said);
        CHECK(contains(said, "tokenizer.json"));
        CHECK(contains(said, named));
    }
}

TEST_CASE("a damaged tokenizer.json gives one of the library's errors, or a tokenizer that works", "[tokenizer]") {
    const std::string whole = sentencepiece().dump();
    const auto survives = [](const std::string& bytes) {
        const temp_folder folder;
        folder.write("tokenizer.json", bytes);
        try {
            static_cast<void>(llama::tokenizer::open(folder.path()).encode("a b\xff"));
        } catch (const gptq::error&) {
        }
    };
    std::mt19937 random(13);
    for (int round = 0; round < 300; ++round) {
        std::string damaged = whole;
        damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
        CHECK_NOTHROW(survives(damaged));
        CHECK_NOTHROW(survives(whole.substr(0, random() % whole.size())));
    }
    CHECK_NOTHROW(survives(std::string(1000000, '[')));
    CHECK_NOTHROW(survives("{\"model\":" + std::string(100000, '[') + std::string(100000, ']') + "}"));
}

TEST_CASE("bos and eos come from tokenizer_config.json", "[tokenizer]") {
    const temp_folder folder;
    folder.write("tokenizer.json", sentencepiece().dump());
    folder.write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}})");
    CHECK(llama::tokenizer::open(folder.path()).bos() == 1u);
    CHECK(llama::tokenizer::open(folder.path()).eos() == 2u);
    folder.write("tokenizer_config.json", R"({"bos_token": null})");
    CHECK(!llama::tokenizer::open(folder.path()).bos());
    CHECK(!llama::tokenizer::open(folder.path()).eos());
    folder.write("tokenizer_config.json", R"({"bos_token": "<bos>"})");
    CHECK(contains(complaint(folder.path()), "tokenizer_config.json: bos_token: \"<bos>\" is not in the vocabulary"));
    folder.write("tokenizer_config.json", "{");
    CHECK_THROWS_AS(llama::tokenizer::open(folder.path()), gptq::format_error);
}

TEST_CASE("a folder's tokenizer.json is taken first, and one without a tokenizer says what was looked for",
          "[tokenizer]") {
    const temp_folder folder;
    CHECK(contains(complaint(folder.path()), "tokenizer.json, tokenizer.bin and tok*.bin"));
    CHECK(contains(complaint(folder.path()), "ids can be given"));
    CHECK(!contains(complaint(folder.path()), "tokenizer.model"));
    CHECK_THROWS_AS(llama::tokenizer::open(folder / "absent"), gptq::format_error);
    folder.write("tokenizer.model", "x");
    CHECK(contains(complaint(folder.path()), "tokenizer.json is needed"));
    folder.write("tok1.bin", "x");
    CHECK(contains(complaint(folder.path()), "tok1.bin: byte"));
    folder.write("tok2.bin", "x");
    CHECK(contains(complaint(folder.path()), "tok1.bin and tok2.bin"));
    folder.write("tokenizer.bin", "x");
    CHECK(contains(complaint(folder.path()), "tokenizer.bin: byte"));
    folder.write("tokenizer.json", byte_level().dump());
    CHECK(llama::tokenizer::open(folder.path()).vocab_size() == 256);
}

}  // namespace tokenizer_test
