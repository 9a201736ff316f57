// Reads the tokenizer of llama2.c, whose pieces carry scores instead of merges: "merge the pair whose piece has the
// highest score" becomes a list of merges, ranked by the score of what comes out.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include <gptq/core/error.hpp>

#include "tokenizer_model.hpp"

namespace llama {
namespace {

using gptq::format_error;
using gptq::detail::fail;

constexpr std::uint32_t bos_id = 1, eos_id = 2, first_byte_id = 3, first_learned_id = first_byte_id + 256;

// Pieces are a word or less. The bound keeps the time to find their merges in proportion to the file.
constexpr std::size_t longest_piece = 1024;

/// Walks over the file's bytes; every complaint names the file and the byte.
class reader {
public:
    reader(std::string_view bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

    [[nodiscard]] bool at_end() const noexcept { return at_ == bytes_.size(); }

    [[nodiscard]] std::string_view take(std::size_t size, std::string_view what) {
        if (size > bytes_.size() - at_)
            refuse(what, " needs ", size, " bytes, the file ends after ", bytes_.size() - at_);
        return bytes_.substr(std::exchange(at_, at_ + size), size);
    }

    [[nodiscard]] std::uint32_t word(std::string_view what) {
        std::uint32_t value = 0;
        for (int shift = 0; const char c : take(4, what)) {
            value |= std::uint32_t{static_cast<unsigned char>(c)} << shift;
            shift += 8;
        }
        return value;
    }

    template <class... Parts>
    [[noreturn]] void refuse(const Parts&... parts) const {
        fail<format_error>(name_, ": byte ", at_, ": ", parts...);
    }

private:
    std::string_view bytes_;
    std::string name_;
    std::size_t at_ = 0;
};

[[nodiscard]] std::size_t read_length(reader& in, std::string_view what) {
    const std::uint32_t length = in.word(what);
    if (length > longest_piece)
        in.refuse(what, " is ", static_cast<std::int32_t>(length), ", expected 0 to ", longest_piece);
    return length;
}

[[nodiscard]] scored_piece read_piece(reader& in) {
    const auto score = std::bit_cast<float>(in.word("a score"));
    if (!std::isfinite(score)) in.refuse("a score is not finite");
    return {score, std::string(in.take(read_length(in, "the length of a piece"), "a piece"))};
}

/// For each piece its place by falling score; pieces of one score share a place.
[[nodiscard]] std::vector<std::uint32_t> ranks_of(const std::vector<scored_piece>& pieces) {
    std::vector<float> scores;
    scores.reserve(pieces.size());
    for (const scored_piece& p : pieces) scores.push_back(p.score);
    std::sort(scores.begin(), scores.end(), std::greater<>());
    std::vector<std::uint32_t> ranks;
    for (const scored_piece& p : pieces) {
        const auto place = std::lower_bound(scores.begin(), scores.end(), p.score, std::greater<>());
        ranks.push_back(static_cast<std::uint32_t>(place - scores.begin()));
    }
    return ranks;
}

/// Every way to put a piece together from two others, with the rank of the result.
void add_merges(const std::vector<scored_piece>& pieces, bpe& out) {
    const std::vector<std::uint32_t> ranks = ranks_of(pieces);
    for (const auto& [text, id] : out.ids) {
        for (std::size_t cut = 1; cut < text.size(); ++cut) {
            const auto left = out.ids.find(std::string_view(text).substr(0, cut));
            if (left == out.ids.end()) continue;
            const auto right = out.ids.find(std::string_view(text).substr(cut));
            if (right != out.ids.end()) out.merges[bpe::pair(left->second, right->second)] = {ranks[id], id};
        }
    }
}

}  // namespace

std::vector<scored_piece> read_llama2c_pieces(const std::filesystem::path& file) {
    const std::string bytes = read_file(file);
    reader in(bytes, file.string());
    static_cast<void>(read_length(in, "the longest length"));
    std::vector<scored_piece> pieces;
    while (!in.at_end()) {
        pieces.push_back(read_piece(in));
        const std::size_t id = pieces.size() - 1;
        if (id < first_byte_id || id >= first_learned_id) continue;
        const auto byte = byte_of(pieces.back().text);
        if (!byte || static_cast<unsigned char>(*byte) != id - first_byte_id)
            in.refuse("piece ", id, " is \"", pieces.back().text, "\", expected byte ", id - first_byte_id,
                      " as <0x..>");
    }
    if (pieces.size() < first_learned_id)
        in.refuse("the file has ", pieces.size(), " pieces, expected ", first_learned_id, " at least");
    return pieces;
}

tokenizer_model read_llama2c_tokenizer(const std::filesystem::path& file) {
    const std::vector<scored_piece> pieces = read_llama2c_pieces(file);

    tokenizer_model model;
    model.normalizers = {prepend{" "}};
    auto& byte_ids = model.pieces.byte_ids.emplace();
    for (std::uint32_t b = 0; b < byte_ids.size(); ++b) byte_ids[b] = first_byte_id + b;
    for (std::uint32_t id = 0; id < pieces.size(); ++id) {
        model.pieces.ids.emplace(pieces[id].text, id);
        if (id >= first_learned_id) model.printed[id] = pieces[id].text;
    }
    for (std::uint32_t b = 0; b < byte_ids.size(); ++b) model.printed[byte_ids[b]] = static_cast<char>(b);
    add_merges(pieces, model.pieces);
    model.lost = lost_in_front::space;
    model.bos = bos_id;
    model.eos = eos_id;
    model.vocab_size = pieces.size();
    return model;
}

}  // namespace llama
