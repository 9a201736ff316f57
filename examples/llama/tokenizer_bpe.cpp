// Merging with a chain and a queue: each merge looks at two new pairs only, so a word of a million characters is as
// easy for each character as a short one. Candidates that became stale are dropped when their turn comes.
#include "tokenizer_bpe.hpp"

#include <algorithm>
#include <queue>
#include <tuple>

#include <gptq/core/error.hpp>

#include "tokenizer_utf8.hpp"

namespace llama {
namespace {

constexpr std::size_t none = static_cast<std::size_t>(-1);

/// A piece of the word in its present state: a link of a chain.
struct link {
    std::uint32_t id;
    std::size_t previous, next;
    bool merged_away = false;
};

/// A pair that was found to merge when it was looked at; it may be gone by the time its turn comes.
struct candidate {
    std::uint32_t rank;
    std::size_t left;
    std::uint32_t id;

    friend bool operator>(const candidate& a, const candidate& b) noexcept {
        return std::tie(a.rank, a.left) > std::tie(b.rank, b.left);
    }
};

using candidates = std::priority_queue<candidate, std::vector<candidate>, std::greater<>>;

[[nodiscard]] std::vector<link> chain_of(const std::vector<std::uint32_t>& ids) {
    std::vector<link> chain;
    chain.reserve(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i)
        chain.push_back({ids[i], i == 0 ? none : i - 1, i + 1 == ids.size() ? none : i + 1});
    return chain;
}

void unlink_next(std::vector<link>& chain, std::size_t left) {
    link& gone = chain[chain[left].next];
    gone.merged_away = true;
    chain[left].next = gone.next;
    if (gone.next != none) chain[gone.next].previous = left;
}

}  // namespace

void bpe::encode(std::string_view word, std::vector<std::uint32_t>& out) const {
    if (whole_words_first) {
        if (const auto found = ids.find(word); found != ids.end()) return out.push_back(found->second);
    }
    append_merged(smallest_pieces(word), out);
}

std::vector<std::uint32_t> bpe::smallest_pieces(std::string_view word) const {
    std::vector<std::uint32_t> pieces;
    pieces.reserve(word.size());
    bool after_unknown = false;
    while (!word.empty()) {
        const std::size_t bytes = smallest == unit::byte ? 1 : std::max<std::size_t>(character_bytes(word), 1);
        const std::string_view symbol = word.substr(0, bytes);
        const auto found = ids.find(symbol);
        const bool is_unknown = found == ids.end() && !byte_ids;
        if (found != ids.end()) {
            pieces.push_back(found->second);
        } else if (byte_ids) {
            for (const char c : symbol) pieces.push_back((*byte_ids)[static_cast<unsigned char>(c)]);
        } else if (!unknown) {
            gptq::detail::fail<gptq::format_error>("tokenizer: no piece for \"", symbol,
                                                   "\" in the vocabulary, which has no unknown token either");
        } else if (!(fuse_unknown && after_unknown)) {
            pieces.push_back(*unknown);
        }
        after_unknown = is_unknown;
        word.remove_prefix(bytes);
    }
    return pieces;
}

const bpe::merge* bpe::find_merge(std::uint32_t left, std::uint32_t right) const noexcept {
    const auto found = merges.find(pair(left, right));
    return found == merges.end() ? nullptr : &found->second;
}

void bpe::append_merged(const std::vector<std::uint32_t>& pieces, std::vector<std::uint32_t>& out) const {
    std::vector<link> chain = chain_of(pieces);
    candidates queue;
    const auto consider = [&](std::size_t left) {
        if (left == none || chain[left].next == none) return;
        if (const merge* m = find_merge(chain[left].id, chain[chain[left].next].id)) queue.push({m->rank, left, m->id});
    };
    for (std::size_t i = 0; i < chain.size(); ++i) consider(i);

    while (!queue.empty()) {
        const candidate best = queue.top();
        queue.pop();
        link& left = chain[best.left];
        if (left.merged_away || left.next == none) continue;
        const merge* still = find_merge(left.id, chain[left.next].id);
        if (still == nullptr || still->id != best.id) continue;
        left.id = best.id;
        unlink_next(chain, best.left);
        consider(left.previous);
        consider(best.left);
    }
    for (const link& l : chain)
        if (!l.merged_away) out.push_back(l.id);
}

}  // namespace llama
