// SentencePiece's tokenizer.model: a reader that must survive any bytes, and what of it llama.cpp is told.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/error.hpp>

#include "gguf_tokenizer.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace gguf_sentencepiece_test {

namespace {

using strings = std::vector<std::string>;
using numbers = std::vector<std::int32_t>;

// The wire format, written.
std::string varint(std::uint64_t x) {
    std::string bytes;
    for (; x >= 0x80; x >>= 7U) bytes += static_cast<char>(x | 0x80U);
    return bytes + static_cast<char>(x);
}
std::string number(unsigned field, std::uint64_t x) { return varint(field << 3U) + varint(x); }
std::string bytes(unsigned field, const std::string& text) {
    return varint(field << 3U | 2U) + varint(text.size()) + text;
}
std::string real(unsigned field, float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    std::string result = varint(field << 3U | 5U);
    for (unsigned shift = 0; shift < 32; shift += 8) result += static_cast<char>(bits >> shift & 0xFFU);
    return result;
}

enum piece_type : unsigned { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

std::string piece(const std::string& text, float score, unsigned type = normal) {
    return bytes(1, bytes(1, text) + real(2, score) + (type == normal ? "" : number(3, type)));
}

std::string byte_pieces() {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string result;
    for (std::size_t b = 0; b < 256; ++b)
        result += piece(std::string("<0x") + digits[b / 16] + digits[b % 16] + ">", 0, byte);
    return result;
}

const std::string specials = piece("<unk>", 0, unknown) + piece("<s>", 0, control) + piece("</s>", 0, control);
const std::string learned = piece("▁a", -1) + piece("a", -2) + piece("▁<mask>", 0, user_defined);
const std::string bpe = bytes(2, number(3, 2) + number(35, 1));
const std::string plain_text = bytes(3, bytes(1, "identity") + bytes(2, "") + number(3, 1) + number(4, 0));

/// 262 pieces, as LLaMA's: BPE, text as it is but for spaces.
std::string usual() { return specials + byte_pieces() + learned + bpe + plain_text; }

llama::config config_of(std::size_t vocab_size) {
    llama::config shape;
    shape.vocab_size = vocab_size;
    return shape;
}

llama::gguf_tokenizer read(const std::string& model, std::size_t vocab_size = 262) {
    const temp_folder folder;
    folder.write("tokenizer.model", model);
    return llama::read_gguf_tokenizer(folder.path(), config_of(vocab_size));
}

template <class T>
const T& value(const llama::gguf_tokenizer& tokenizer, const std::string& key) {
    return gptq::io::at<T>(tokenizer.keys, "tokenizer.ggml." + key, "the test's file");
}

std::string complaint(const std::string& model, std::size_t vocab_size = 262) {
    try {
        static_cast<void>(read(model, vocab_size));
    } catch (const gptq::error& e) {
        return e.what();
    }
    return "accepted";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a SentencePiece model keeps its pieces, scores and types", "[gguf]") {
    const auto tokenizer = read(usual());
    const auto& tokens = value<strings>(tokenizer, "tokens");
    const auto& scores = value<std::vector<float>>(tokenizer, "scores");
    const auto& types = value<numbers>(tokenizer, "token_type");
    CHECK(value<std::string>(tokenizer, "model") == "llama");
    CHECK(strings(tokens.end() - 3, tokens.end()) == strings{"▁a", "a", " <mask>"});
    CHECK(std::vector<float>(scores.end() - 3, scores.end()) == std::vector<float>{-1, -2, 0});
    CHECK(numbers(types.begin(), types.begin() + 4) == numbers{unknown, control, control, byte});
    CHECK(numbers(types.end() - 3, types.end()) == numbers{normal, normal, user_defined});
    CHECK(value<std::uint32_t>(tokenizer, "unknown_token_id") == 0);
    CHECK(value<std::uint32_t>(tokenizer, "bos_token_id") == 1);
    CHECK(value<std::uint32_t>(tokenizer, "eos_token_id") == 2);
    CHECK(value<bool>(tokenizer, "add_bos_token"));
    CHECK(value<bool>(tokenizer, "add_space_prefix"));
    CHECK(!tokenizer.keys.contains("tokenizer.ggml.padding_token_id"));
    CHECK(tokenizer.remarks.empty());
}

TEST_CASE("roles and the space in front are those that the model says", "[gguf]") {
    const std::string trainer =
        bytes(2, number(3, 2) + number(40, 2) + number(41, ~std::uint64_t{0}) + number(42, 1) + number(43, 0));
    const std::string no_space = bytes(3, number(3, 0) + number(4, 0));
    const auto tokenizer = read(specials + byte_pieces() + learned + trainer + no_space);
    CHECK(value<std::uint32_t>(tokenizer, "unknown_token_id") == 2);
    CHECK(value<std::uint32_t>(tokenizer, "eos_token_id") == 1);
    CHECK(value<std::uint32_t>(tokenizer, "padding_token_id") == 0);
    CHECK(!tokenizer.keys.contains("tokenizer.ggml.bos_token_id"));
    CHECK(!value<bool>(tokenizer, "add_bos_token"));
    CHECK(!value<bool>(tokenizer, "add_space_prefix"));
}

TEST_CASE("tokens that other files add come behind, and fill ids without one", "[gguf]") {
    const temp_folder folder;
    folder.write("tokenizer.model", usual());
    folder.write("added_tokens.json", R"({"<|im_end|>": 262, "<x>": 263})");
    folder.write("tokenizer_config.json", R"({"eos_token": "<|im_end|>", "added_tokens_decoder": {
        "0": {"content": "<unk>", "special": true}, "262": {"content": "<|im_end|>", "special": true}}})");
    folder.write("special_tokens_map.json", R"({"eos_token": "<s>", "pad_token": {"content": "<x>"}})");
    const auto tokenizer = llama::read_gguf_tokenizer(folder.path(), config_of(265));
    const auto& tokens = value<strings>(tokenizer, "tokens");
    const auto& types = value<numbers>(tokenizer, "token_type");
    CHECK(strings(tokens.end() - 3, tokens.end()) == strings{"<|im_end|>", "<x>", "[PAD264]"});
    CHECK(numbers(types.end() - 3, types.end()) == numbers{control, user_defined, unused});
    CHECK(types[0] == unknown);
    CHECK(value<std::uint32_t>(tokenizer, "eos_token_id") == 262);
    CHECK(value<std::uint32_t>(tokenizer, "padding_token_id") == 263);
}

TEST_CASE("a model that llama.cpp would tokenize otherwise is refused, or remarked upon", "[gguf]") {
    const std::string pieces = specials + byte_pieces() + learned;
    CHECK(contains(complaint(pieces + plain_text), "is a model of type 1, expected 2 (BPE)"));
    CHECK(contains(complaint(pieces + bpe + bytes(3, bytes(2, "map"))), "normalizes text"));
    CHECK(contains(complaint(pieces + bpe + bytes(3, number(5, 0))), "normalizes text"));
    CHECK(contains(complaint(pieces + bytes(2, number(3, 2) + number(24, 1)) + plain_text), "normalizes text"));
    CHECK(contains(complaint(specials + learned + bpe + plain_text), "has tokens for 0 of the 256 bytes"));
    CHECK(contains(complaint(usual(), 261), "has the id 261, but the model only 261 tokens"));
    const auto squeezed = read(pieces + bpe);
    REQUIRE(squeezed.remarks.size() == 1);
    CHECK(contains(squeezed.remarks[0], "several spaces"));
}

TEST_CASE("what is no SentencePiece model is refused with the byte", "[gguf]") {
    CHECK(contains(complaint(std::string("\x0A\x05"
                                         "ab",
                                         4)),
                   "byte 2: 5 bytes are announced, but only 2 follow"));
    CHECK(contains(complaint(std::string("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11)), "are announced"));
    CHECK(contains(complaint(std::string(11, '\xFF')), "takes more than 10 bytes"));
    CHECK(contains(complaint(std::string(1, '\x02')), "has the number 0"));
    CHECK(contains(complaint(std::string(1, '\x0B')), "is of kind 3"));
    CHECK(contains(complaint(number(1, 7)), "field 1 is of kind 0, expected 2"));
    CHECK(contains(complaint(bytes(1, bytes(1, "a") + number(3, 7))), "a piece is of type 7"));
    CHECK(contains(complaint(piece("a", std::numeric_limits<float>::quiet_NaN())), "is not finite"));
    CHECK(contains(complaint(piece("", 0)), "is empty or not UTF-8"));
    CHECK(contains(complaint(piece("\xC3", 0)), "is empty or not UTF-8"));
    CHECK(contains(complaint("version https://git-lfs.github.com/spec/v1"), "not a SentencePiece model"));
}

TEST_CASE("bytes that are changed at random are read or refused", "[gguf]") {
    const temp_folder folder;
    std::mt19937 random(7);
    const std::string whole = usual();
    std::size_t refused = 0;
    for (int round = 0; round < 2000; ++round) {
        std::string mutated = whole.substr(0, random() % 4 == 0 ? random() % whole.size() : whole.size());
        for (unsigned i = random() % 4; i-- > 0 && !mutated.empty();)
            mutated[random() % mutated.size()] = static_cast<char>(random());
        folder.write("tokenizer.model", mutated);
        try {
            static_cast<void>(llama::read_gguf_tokenizer(folder.path(), config_of(300)));
        } catch (const gptq::error&) {
            ++refused;
        }
    }
    CHECK(refused > 500);  // a quarter is cut short
}

}  // namespace gguf_sentencepiece_test
