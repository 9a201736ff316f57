// The steps themselves. Pre-tokenizers take words and give words; normalizers change one text in place.
#include "tokenizer_text.hpp"

#include <algorithm>
#include <utility>

namespace llama {
namespace {

void apply(const prepend& step, std::string& text) {
    if (!text.empty()) text.insert(0, step.what);
}

void apply(const replace& step, std::string& text) { replace_all(text, step.from, step.to); }

void apply(const split_regex& step, word in, std::vector<word>& out) {
    for (const std::string_view piece : step.split(in.text))
        out.push_back({std::string(piece), in.at_text_start && piece.data() == in.text.data()});
}

void apply(leading_space, word in, std::vector<word>& out) {
    if (!in.text.starts_with(' ')) in.text.insert(0, " ");
    out.push_back(std::move(in));
}

void apply(const metaspace& step, word in, std::vector<word>& out) {
    using enum metaspace::prefix;
    replace_all(in.text, " ", step.mark);
    const bool wanted = step.in_front == always || (step.in_front == first && in.at_text_start);
    if (wanted && !in.text.starts_with(step.mark)) in.text.insert(0, step.mark);
    if (!step.cut) return out.push_back(std::move(in));

    for (std::size_t begin = 0; begin < in.text.size();) {
        const std::size_t end = std::min(in.text.find(step.mark, begin + 1), in.text.size());
        out.push_back({in.text.substr(begin, end - begin), in.at_text_start && begin == 0});
        begin = end;
    }
}

}  // namespace

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    std::string out;
    std::size_t begin = 0;
    for (std::size_t at = 0; (at = text.find(from, begin)) != std::string::npos; begin = at + from.size())
        out.append(text, begin, at - begin).append(to);
    if (begin > 0) text = std::move(out.append(text, begin));
}

std::string normalized(const std::vector<normalizer>& steps, std::string_view text) {
    std::string out(text);
    for (const normalizer& step : steps) std::visit([&](const auto& s) { apply(s, out); }, step);
    return out;
}

std::vector<word> pre_tokenized(const std::vector<pre_tokenizer>& steps, word text) {
    std::vector<word> words;
    if (!text.text.empty()) words.push_back(std::move(text));
    for (const pre_tokenizer& step : steps) {
        std::vector<word> cut;
        for (word& w : words) std::visit([&](const auto& s) { apply(s, std::move(w), cut); }, step);
        words = std::move(cut);
    }
    return words;
}

void added_tokens::add(std::string content, std::uint32_t id) {
    if (content.empty()) return;
    auto& tokens = by_first_byte_[static_cast<unsigned char>(content.front())];
    const auto shorter = [&](const token& t) { return t.content.size() < content.size(); };
    tokens.insert(std::find_if(tokens.begin(), tokens.end(), shorter), {content, id});
}

const added_tokens::token* added_tokens::longest_at_front(std::string_view text) const noexcept {
    for (const token& t : by_first_byte_[static_cast<unsigned char>(text.front())])
        if (text.starts_with(t.content)) return &t;
    return nullptr;
}

std::vector<added_tokens::part> added_tokens::split(std::string_view text) const {
    std::vector<part> parts;
    std::size_t begin = 0;
    const auto end_plain_text = [&](std::size_t at) {
        if (at > begin) parts.push_back({text.substr(begin, at - begin), std::nullopt});
    };
    for (std::size_t at = 0; at < text.size();) {
        const token* found = longest_at_front(text.substr(at));
        if (found == nullptr) {
            ++at;
            continue;
        }
        end_plain_text(at);
        parts.push_back({text.substr(at, found->content.size()), found->id});
        at = begin = at + found->content.size();
    }
    end_plain_text(text.size());
    return parts;
}

}  // namespace llama
