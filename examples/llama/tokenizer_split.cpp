// The translation of Oniguruma patterns, which is mostly a list of what is safe to pass on, and the matching loop.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer_split.hpp"

#include <pcre2.h>

#include <cctype>
#include <cstddef>
#include <string>

#include <gptq/core/error.hpp>

#include "tokenizer_utf8.hpp"

namespace llama {
namespace {

using gptq::format_error;
using gptq::detail::fail;

// Unicode's White_Space, which is Oniguruma's \s. PCRE2's \s also takes U+180E.
constexpr std::string_view spaces = R"(\t-\r\x{85}\p{Z})";

/// Copies an Oniguruma pattern for PCRE2, and refuses what would mean something else there.
class translation {
public:
    explicit translation(std::string_view pattern) : in_(pattern) {
        while (at_ < in_.size()) step();
        if (in_class_) refuse("a class without end");
    }

    [[nodiscard]] const std::string& pattern() const noexcept { return out_; }

private:
    [[nodiscard]] bool next_is(std::string_view s) const noexcept { return in_.substr(at_).starts_with(s); }

    void copy(std::size_t bytes) {
        out_ += in_.substr(at_, bytes);
        at_ += bytes;
    }

    void step() {
        if (next_is("\\")) return escape();
        if (in_class_) return in_class();
        if (next_is("[")) return open_class();
        if (next_is("(")) return open_group();
        if (next_is("{")) return count();
        if (next_is(".") || next_is("^") || next_is("$")) refuse("an anchor or a dot");
        copy(1);
    }

    void escape() {
        const char kind = at_ + 1 < in_.size() ? in_[at_ + 1] : '\0';
        if (kind == 's' || (kind == 'S' && !in_class_)) return space(kind == 'S');
        if (kind == 'p' || kind == 'P') return category();
        const bool plain = std::string_view("drnt").find(kind) != std::string_view::npos;
        if (!plain && std::ispunct(static_cast<unsigned char>(kind)) == 0) refuse("an escape");
        copy(2);
    }

    void space(bool negated) {
        if (in_class_) {
            out_ += spaces;
        } else {
            out_.append(negated ? "[^" : "[").append(spaces).append("]");
        }
        at_ += 2;
    }

    /// \p{L}, \p{Lu}: general categories only. Scripts and long names are not the same sets in both.
    void category() {
        const std::size_t end = in_.find('}', at_);
        const std::string_view text = in_.substr(at_, end == std::string_view::npos ? end : end + 1 - at_);
        constexpr std::string_view major = "LMNPSZC", minor = "cdefiklmnopstu";
        const bool known = (text.size() == 5 || text.size() == 6) && text[2] == '{' && text.back() == '}' &&
                           major.find(text[3]) != std::string_view::npos &&
                           (text.size() == 5 || minor.find(text[4]) != std::string_view::npos);
        if (!known) refuse("a property");
        copy(text.size());
    }

    void open_class() {
        copy(in_.substr(at_).starts_with("[^") ? 2 : 1);
        if (next_is("]")) refuse("a class that begins with ]");
        in_class_ = true;
    }

    void in_class() {
        if (next_is("[") || next_is("&&")) refuse("a class within a class");
        if (next_is("]")) in_class_ = false;
        copy(1);
    }

    void open_group() {
        if (next_is("(?i:")) return folded_group();
        for (const std::string_view group : {"(?:", "(?=", "(?!", "(?<=", "(?<!"})
            if (next_is(group)) return copy(group.size());
        if (next_is("(?") || next_is("(*")) refuse("a group");
        copy(1);
    }

    /// Only Oniguruma lets two letters match one that folds to them, such as ss and ß: those pairs are refused.
    void folded_group() {
        constexpr std::string_view punctuation = "'|[]";
        const std::size_t begin = at_ + 4, end = in_.find(')', begin);
        if (end == std::string_view::npos) refuse("a group without end");
        const std::string_view inside = in_.substr(begin, end - begin);
        for (const char c : inside)
            if ((c < 'a' || c > 'z') && punctuation.find(c) == std::string_view::npos) refuse("a group");
        for (const std::string_view pair : {"ss", "st", "ff", "fi", "fl"})
            if (inside.find(pair) != std::string_view::npos) refuse("a group");
        copy(begin - at_);
    }

    /// {2}, {2,}, {2,5}, with nothing behind: {2}+ and {2}? are other things in the two.
    void count() {
        const std::size_t end = in_.find_first_not_of("0123456789,", at_ + 1);
        const bool closed = end != std::string_view::npos && in_[end] == '}' && at_ + 1 < end && in_[at_ + 1] != ',';
        if (!closed) refuse("a quantifier");
        copy(end + 1 - at_);
        if (next_is("+") || next_is("?")) refuse("a quantifier");
    }

    [[noreturn]] void refuse(std::string_view what) const {
        fail<format_error>("the pattern ", in_, " has ", what, " at byte ", at_,
                           " that is not supported, or not the same for Oniguruma and PCRE2");
    }

    std::string_view in_;
    std::string out_;
    std::size_t at_ = 0;
    bool in_class_ = false;
};

[[nodiscard]] std::string message_of(int error) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(error, text, sizeof text);
    return reinterpret_cast<const char*>(text);
}

[[nodiscard]] PCRE2_SPTR units(std::string_view text) noexcept { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

[[nodiscard]] std::size_t valid_prefix(std::string_view text) noexcept {
    std::size_t end = 0;
    while (const std::size_t bytes = character_bytes(text.substr(end))) end += bytes;
    return end;
}

[[nodiscard]] std::size_t stray_prefix(std::string_view text) noexcept {
    std::size_t end = 0;
    while (end < text.size() && character_bytes(text.substr(end)) == 0) ++end;
    return end;
}

}  // namespace

split_regex::split_regex(std::string_view pattern) {
    const translation translated(pattern);
    const std::string& text = translated.pattern();
    int error = 0;
    std::size_t at = 0;
    code_.reset(pcre2_compile(units(text), text.size(), PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr), pcre2_code_free);
    if (!code_) fail<format_error>("the pattern ", pattern, " is broken: ", message_of(error));

    std::uint32_t may_be_empty = 0;
    pcre2_pattern_info(code_.get(), PCRE2_INFO_MATCHEMPTY, &may_be_empty);
    if (may_be_empty != 0) fail<format_error>("the pattern ", pattern, " can match the empty string");
}

std::vector<std::string_view> split_regex::split(std::string_view text) const {
    std::vector<std::string_view> pieces;
    while (!text.empty()) {
        const std::size_t valid = valid_prefix(text);
        split_utf8(text.substr(0, valid), pieces);
        text.remove_prefix(valid);
        if (const std::size_t stray = stray_prefix(text)) pieces.push_back(text.substr(0, stray));
        text.remove_prefix(stray_prefix(text));
    }
    return pieces;
}

void split_regex::split_utf8(std::string_view text, std::vector<std::string_view>& pieces) const {
    const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr), pcre2_match_data_free);
    const auto add = [&](std::size_t begin, std::size_t end) {
        if (begin < end) pieces.push_back(text.substr(begin, end - begin));
    };
    for (std::size_t begin = 0; begin < text.size();) {
        const int found =
            pcre2_match(code_.get(), units(text), text.size(), begin, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
        if (found == PCRE2_ERROR_NOMATCH) return add(begin, text.size());
        if (found < 0) fail<format_error>("the tokenizer's Split pattern: ", message_of(found));
        const std::size_t* const bounds = pcre2_get_ovector_pointer(match.get());
        add(begin, bounds[0]);
        add(bounds[0], bounds[1]);
        begin = bounds[1];
    }
}

}  // namespace llama
