// Cutting text with the patterns of GPT-2 and Llama 3. The expected words are those of Hugging Face's `tokenizers`.
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/error.hpp>
#include "../../examples/llama/tokenizer_split.hpp"
#include "../../examples/llama/tokenizer_utf8.hpp"
#include "support/catch.hpp"

namespace tokenizer_split_test {

namespace {

using words = std::vector<std::string>;

constexpr std::string_view llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

words cut(std::string_view pattern, const std::string& text) {
    words out;
    for (const std::string_view piece : llama::split_regex(pattern).split(text)) out.emplace_back(piece);
    return out;
}

}  // namespace

TEST_CASE("text is cut as GPT-2 and Llama 3 cut it", "[tokenizer]") {
    const std::string text = "I'll say: it's   1234 Öl-Fässer!\n\n  HE'LL";
    CHECK(cut(llama::gpt2_pattern, text) == words{"I", "'ll", " say", ":", " it", "'s", "  ", " 1234", " Öl", "-",
                                                  "Fässer", "!", "\n\n ", " HE", "'", "LL"});
    CHECK(cut(llama3_pattern, text) == words{"I", "'ll", " say", ":", " it", "'s", "  ", " ", "123", "4", " Öl",
                                             "-Fässer", "!\n\n", " ", " HE", "'LL"});
}

TEST_CASE("spaces are Unicode's white space, which U+0085 is and U+180E is not", "[tokenizer]") {
    CHECK(cut(llama::gpt2_pattern, "x\u180e y\u0085\u00a0z") == words{"x", "\u180e", " y", "\u0085", "\u00a0", "z"});
    CHECK(cut(llama::gpt2_pattern, "!\u180e") == words{"!\u180e"});
}

TEST_CASE("digits are those of every script", "[tokenizer]") {
    CHECK(cut(R"(\d+)", "a\u0663\u0664b1") == words{"a", "\u0663\u0664", "b", "1"});
}

TEST_CASE("case is ignored where the pattern says so, as far as Unicode's simple folding goes", "[tokenizer]") {
    CHECK(cut(llama3_pattern, "'\u017f a") == words{"'\u017f", " a"});
    CHECK(cut(llama::gpt2_pattern, "'\u017f a") == words{"'", "\u017f", " a"});
}

TEST_CASE("bytes that are not UTF-8 are pieces of their own", "[tokenizer]") {
    CHECK(cut(llama::gpt2_pattern, "ab\xff\xc3 cd\xe4\xb8") == words{"ab", "\xff\xc3", " cd", "\xe4\xb8"});
    CHECK(cut(llama::gpt2_pattern, "\x80") == words{"\x80"});
    CHECK(cut(llama::gpt2_pattern, "").empty());
}

TEST_CASE("the pieces put together are the text, whatever its bytes", "[tokenizer]") {
    std::mt19937 random(1);
    const llama::split_regex gpt2(llama::gpt2_pattern), llama3(llama3_pattern);
    for (int round = 0; round < 2000; ++round) {
        std::string text(random() % 40, '\0');
        for (char& c : text)
            c = random() % 3 == 0 ? static_cast<char>(random() % 256) : " a1'\n.\xc3\xa4"[random() % 8];
        for (const auto* splitter : {&gpt2, &llama3}) {
            std::string joined;
            for (const std::string_view piece : splitter->split(text)) joined += piece;
            REQUIRE(joined == text);
        }
    }
}

TEST_CASE("a pattern that Oniguruma and PCRE2 may read differently is refused", "[tokenizer]") {
    for (const char* const pattern :
         {R"(\w+)",         R"(\bword)",   R"(\h+)",     R"(\X)",     R"(\x41)",  R"(\p{Han}+)",
          R"(\p{^L})",      R"(\p{L)",     R"(^a)",      R"(a$)",     R"(a.b)",   R"([[:alpha:]]+)",
          R"([a-z&&[^b]])", R"([]a])",     R"([\S])",    R"([ab)",    R"((?i)a)", R"((?<n>a))",
          R"((?m:a))",      R"((*FAIL)a)", R"((?i:ss))", R"((?i:ä))", R"((?i:a)", R"((?i:[[a]b]))",
          R"(a{,2})",       R"(a{2}+)",    R"(a{1,2}?)", R"(a{x})",   R"(a\)"}) {
        CAPTURE(pattern);
        CHECK_THROWS_AS(llama::split_regex(pattern), gptq::format_error);
    }
}

TEST_CASE("a broken pattern, or one that can match nothing at all, is refused", "[tokenizer]") {
    for (const char* const pattern : {"(a", "a)", "*a", "[b-a]", "", "a*", "a|", "(?=a)", "a{3,2}"}) {
        CAPTURE(pattern);
        CHECK_THROWS_AS(llama::split_regex(pattern), gptq::format_error);
    }
}

TEST_CASE("a match that would take for ever ends in an error", "[tokenizer]") {
    const llama::split_regex slow("(?:a+)+[bc]");
    CHECK_THROWS_AS(slow.split(std::string(60, 'a')), gptq::format_error);
}

TEST_CASE("UTF-8 characters end where RFC 3629 says", "[tokenizer]") {
    struct example {
        std::string_view text;
        std::size_t bytes;
    };
    for (const auto& [text, bytes] : std::vector<example>{{"", 0},
                                                          {std::string_view("\0", 1), 1},
                                                          {"\x7f", 1},
                                                          {"\x80", 0},
                                                          {"\xc1\xbf", 0},
                                                          {"\xc2\x80", 2},
                                                          {"\xdf\xbf", 2},
                                                          {"\xc2", 0},
                                                          {"\xc2\x41", 0},
                                                          {"\xe0\x9f\xbf", 0},
                                                          {"\xe0\xa0\x80", 3},
                                                          {"\xed\x9f\xbf", 3},
                                                          {"\xed\xa0\x80", 0},
                                                          {"\xef\xbf\xbf", 3},
                                                          {"\xe4\xb8", 0},
                                                          {"\xf0\x8f\xbf\xbf", 0},
                                                          {"\xf0\x90\x80\x80", 4},
                                                          {"\xf4\x8f\xbf\xbf", 4},
                                                          {"\xf4\x90\x80\x80", 0},
                                                          {"\xf0\x90\x80", 0},
                                                          {"\xf5\x80\x80\x80", 0},
                                                          {"\xff", 0},
                                                          {"\xe4\xb8\xad"
                                                           "a",
                                                           3}}) {
        CAPTURE(bytes);
        CHECK(llama::character_bytes(text) == bytes);
    }
}

}  // namespace tokenizer_split_test
