// Byte-pair encoding of one word: its smallest pieces, then merges from the best to the worst.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace llama {

/// Lets a map of strings be searched with a view.
struct string_hash : std::hash<std::string_view> {
    using is_transparent = void;
};
using piece_map = std::unordered_map<std::string, std::uint32_t, string_hash, std::equal_to<>>;

struct bpe {
    /// What a word is cut into before anything is merged.
    enum class unit { byte, character };

    struct merge {
        std::uint32_t rank;  // the smallest is merged first; of equal ones the leftmost
        std::uint32_t id;    // of the piece that comes out
    };

    piece_map ids;  // pieces as the bytes they are in a word
    std::unordered_map<std::uint64_t, merge> merges;
    unit smallest = unit::character;
    std::optional<std::array<std::uint32_t, 256>> byte_ids;  // for characters that are not in `ids`
    std::optional<std::uint32_t> unknown;                    // for those where there are no byte_ids
    bool fuse_unknown = false;                               // neighbours share one
    bool whole_words_first = false;                          // a word that is a piece is not merged together

    [[nodiscard]] static constexpr std::uint64_t pair(std::uint32_t left, std::uint32_t right) noexcept {
        return std::uint64_t{left} << 32 | right;
    }

    /// Appends the ids of `word`.
    /// @cost    n·log n of the word's length n
    /// @throws  gptq::format_error  a character has no piece, and there are neither byte_ids nor `unknown`
    void encode(std::string_view word, std::vector<std::uint32_t>& out) const;

private:
    [[nodiscard]] std::vector<std::uint32_t> smallest_pieces(std::string_view word) const;
    [[nodiscard]] const merge* find_merge(std::uint32_t left, std::uint32_t right) const noexcept;
    void append_merged(const std::vector<std::uint32_t>& pieces, std::vector<std::uint32_t>& out) const;
};

}  // namespace llama
