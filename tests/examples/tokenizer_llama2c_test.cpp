// The tokenizer of llama2.c, against its definition: merge the pair whose piece has the highest score, first one first.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include "../../examples/llama/tokenizer.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace tokenizer_llama2c_test {

namespace {

using ids = std::vector<std::uint32_t>;

struct piece {
    std::string text;
    float score = 0;
};

std::string little_endian(std::uint32_t value) {
    std::string bytes;
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift & 0xFF);
    return bytes;
}

std::string record(float score, std::uint32_t length, std::string_view text) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &score, sizeof bits);
    return little_endian(bits) + little_endian(length) + std::string(text);
}

/// <unk>, <s>, </s>, the bytes, and then `learned`, the first of which has id 259.
std::vector<piece> vocabulary(const std::vector<piece>& learned) {
    std::vector<piece> all = {{"<unk>"}, {"\n<s>\n"}, {"\n</s>\n"}};
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (std::size_t b = 0; b < 256; ++b) all.push_back({std::string("<0x") + digits[b / 16] + digits[b % 16] + ">"});
    all.insert(all.end(), learned.begin(), learned.end());
    return all;
}

std::string file_of(const std::vector<piece>& pieces) {
    std::string bytes = little_endian(16);
    for (const piece& p : pieces) bytes += record(p.score, static_cast<std::uint32_t>(p.text.size()), p.text);
    return bytes;
}

llama::tokenizer opened(const std::string& file) {
    const temp_folder folder;
    folder.write("tokenizer.bin", file);
    return llama::tokenizer::open(folder.path());
}

std::optional<std::uint32_t> id_of(const std::vector<piece>& pieces, const std::string& text) {
    for (std::uint32_t id = 0; id < pieces.size(); ++id)
        if (pieces[id].text == text) return id;
    return std::nullopt;
}

/// The definition, as slow as it is plain. For texts of one-byte characters.
ids encode_by_definition(const std::vector<piece>& pieces, const std::string& text) {
    ids out;
    for (const char c : " " + text)
        out.push_back(id_of(pieces, std::string(1, c)).value_or(static_cast<unsigned char>(c) + 3u));
    for (;;) {
        std::optional<std::pair<std::size_t, std::uint32_t>> best;
        for (std::size_t i = 0; i + 1 < out.size(); ++i) {
            const auto id = id_of(pieces, pieces[out[i]].text + pieces[out[i + 1]].text);
            if (id && (!best || pieces[*id].score > pieces[best->second].score)) best = {i, *id};
        }
        if (!best) return out;
        out[best->first] = best->second;
        out.erase(out.begin() + static_cast<std::ptrdiff_t>(best->first) + 1);
    }
}

const std::vector<piece> letters = {{" ", -9},  {"a", -9},  {"b", -9},     {"ab", -2},
                                    {"ba", -1}, {" a", -3}, {"\u00e9", -9}};

}  // namespace

TEST_CASE("the pair of the highest score is merged first, and of equal ones the first", "[tokenizer]") {
    const auto tokenizer = opened(file_of(vocabulary(letters)));
    CHECK(tokenizer.vocab_size() == 266);
    CHECK(tokenizer.bos() == 1u);
    CHECK(tokenizer.eos() == 2u);
    CHECK(tokenizer.encode("aba") == ids{264, 263});  // " a" + "ba"; "ba" came first
    CHECK(tokenizer.encode("babab") == ids{259, 263, 263, 261});
    CHECK(tokenizer.encode("ab") == ids{259, 262});
    CHECK(tokenizer.encode("\u00e9z") == ids{259, 265, 'z' + 3});
    CHECK(tokenizer.encode(std::string("\0\xff", 2)) == ids{259, 3, 258});
    CHECK(tokenizer.encode("").empty());
}

TEST_CASE("any vocabulary and any text give the ids of the definition", "[tokenizer]") {
    std::mt19937 random(7);
    for (int round = 0; round < 150; ++round) {
        std::vector<piece> learned = {{" "}, {"a"}, {"b"}, {"c"}};
        for (int extra = 0; extra < 40; ++extra) {
            const std::string text = learned[random() % learned.size()].text + learned[random() % learned.size()].text;
            if (text.size() < 9 && !id_of(learned, text)) learned.push_back({text, static_cast<float>(random() % 12)});
        }
        const auto pieces = vocabulary(learned);
        const auto tokenizer = opened(file_of(pieces));
        for (int line = 0; line < 10; ++line) {
            std::string text(1 + random() % 40, ' ');
            for (char& c : text) c = " abcd"[random() % 5];
            REQUIRE(tokenizer.encode(text) == encode_by_definition(pieces, text));
        }
    }
}

TEST_CASE("llama2.c ids decode to the bytes they were made of", "[tokenizer]") {
    const auto tokenizer = opened(file_of(vocabulary(letters)));
    std::mt19937 random(3);
    for (int round = 0; round < 500; ++round) {
        std::string text(random() % 30, '\0');
        for (char& c : text) c = random() % 2 == 0 ? static_cast<char>(random() % 256) : "ab \xc3\xa9"[random() % 5];
        REQUIRE(tokenizer.decode(tokenizer.encode(text)) == text);
    }
    CHECK(tokenizer.decode(ids{1, 264, 263, 2, 0, 259, 999999}) == "aba ");
}

TEST_CASE("a llama2.c file cut off anywhere within a piece is refused", "[tokenizer]") {
    const auto pieces = vocabulary(letters);
    const std::string file = file_of(pieces);
    for (std::size_t size = file_of(vocabulary({})).size() - 40; size < file.size(); ++size) {
        const std::string start = file.substr(0, size);
        bool whole = false;
        for (std::size_t n = 259; n < pieces.size(); ++n)
            whole |= file_of({pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(n)}).size() == size;
        CAPTURE(size);
        if (whole) {
            CHECK_NOTHROW(opened(start));
        } else {
            CHECK_THROWS_AS(opened(start), gptq::format_error);
        }
    }
    CHECK_THROWS_AS(opened(""), gptq::format_error);
    CHECK_THROWS_AS(opened("abc"), gptq::format_error);
}

TEST_CASE("lengths and scores that cannot be are refused", "[tokenizer]") {
    const std::string start = file_of(vocabulary(letters));
    CHECK_THROWS_AS(opened(start + record(0, 0xFFFFFFFF, "x")), gptq::format_error);
    CHECK_THROWS_AS(opened(start + record(0, 0x7FFFFFFF, "x")), gptq::format_error);
    CHECK_THROWS_AS(opened(start + record(0, 1025, std::string(1025, 'x'))), gptq::format_error);
    CHECK_THROWS_AS(opened(start + record(std::numeric_limits<float>::quiet_NaN(), 1, "x")), gptq::format_error);
    CHECK_THROWS_AS(opened("\xff\xff\xff\xff" + start.substr(4)), gptq::format_error);
    CHECK_NOTHROW(opened(start + record(0, 1024, std::string(1024, 'x'))));
}

TEST_CASE("the bytes must be where llama2.c has them", "[tokenizer]") {
    auto pieces = vocabulary(letters);
    std::swap(pieces[3 + 'a'], pieces[3 + 'b']);
    CHECK_THROWS_AS(opened(file_of(pieces)), gptq::format_error);
}

TEST_CASE("a long text takes no longer for each byte than a short one", "[tokenizer]") {
    const auto tokenizer = opened(file_of(vocabulary(letters)));
    const std::string text(1000000, 'a');  // at a million characters, a search for each merge would not end today
    CHECK(tokenizer.encode(text).size() == 1000000);
    std::string pairs;
    for (int i = 0; i < 500000; ++i) pairs += "ba";
    CHECK(tokenizer.encode(pairs).size() == 500001);
}

}  // namespace tokenizer_llama2c_test
