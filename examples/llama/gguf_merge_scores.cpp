#include "gguf_merge_scores.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include <gptq/core/error.hpp>

#include "tokenizer_utf8.hpp"

namespace llama {
namespace {

using gptq::option_error;
using gptq::detail::fail;

}  // namespace

std::string merge_text(const json_field& merge) {
    if (merge.is_string()) return merge.text();
    std::string pair;
    merge.for_each([&](const json_field& piece) {
        if (piece.text().find(' ') != std::string::npos)
            fail<option_error>(piece.place(),
                               ": a piece with a space in it, which the merges of GGUF files cannot say");
        pair += (pair.empty() ? "" : " ") + piece.text();
    });
    return pair;
}

merge_scores::merge_scores(const json_field& model) : place_(model["merges"].place()) {
    model["vocab"].for_each_member(
        [&](const std::string& name, const json_field& id) { ids_.emplace(name, id.number()); });
    model["merges"].for_each([&](const json_field& merge) { add(merge_text(merge)); });
}

void merge_scores::add(std::string pair) {
    const std::size_t space = pair.find(' ');
    const std::uint32_t id = ids_.at(pair.substr(0, space) + pair.substr(space + 1));
    if (made_last_ != id && !ranks_.emplace(id, ranks_.size()).second)
        fail<option_error>(place_, ": the merges that make token ", id,
                           " do not stand together, and llama.cpp has one score for all of them");
    made_last_ = id;
    pairs_.insert(std::move(pair));
}

float merge_scores::of(std::uint32_t id) const {
    const auto rank = ranks_.find(id);
    return -static_cast<float>(rank == ranks_.end() ? ranks_.size() : rank->second);
}

void merge_scores::expect_all_merges_of(const std::string& token) const {
    constexpr std::size_t longest = 1024;
    if (token.size() > longest)
        fail<option_error>(place_, ": a token has ", token.size(), " bytes, expected at most ", longest);
    for (std::size_t cut = character_bytes(token); cut > 0 && cut < token.size();
         cut += character_bytes(std::string_view(token).substr(cut))) {
        const std::string left = token.substr(0, cut), right = token.substr(cut);
        if (can_stand_alone(left) && can_stand_alone(right) && !pairs_.contains(left + " " + right))
            fail<option_error>(place_, ": llama.cpp would merge \"", left, "\" and \"", right,
                               "\", which are not among them");
    }
}

/// Text starts as characters, with or without a token, and goes on as tokens.
bool merge_scores::can_stand_alone(const std::string& part) const {
    return character_bytes(part) == part.size() || ids_.contains(part);
}

}  // namespace llama
