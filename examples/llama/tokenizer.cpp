// The tokenizer's public face: which file of a folder is read, and the way from text to ids and back through the
// steps of a tokenizer_model. Knows no file format.
#include "tokenizer.hpp"

#include <algorithm>
#include <fstream>
#include <system_error>
#include <utility>

#include <gptq/core/error.hpp>

#include "tokenizer_model.hpp"

namespace llama {
namespace {

namespace fs = std::filesystem;
using gptq::format_error;
using gptq::detail::fail;

/// The folder's files called tok*.bin, sorted by name.
[[nodiscard]] std::vector<fs::path> llama2c_files(const fs::path& folder) {
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (name.starts_with("tok") && name.ends_with(".bin") && is_file(entry->path())) found.push_back(entry->path());
    }
    std::sort(found.begin(), found.end());
    return found;
}

[[nodiscard]] tokenizer_model read_llama2c_folder(const fs::path& folder) {
    if (const auto file = find_llama2c_tokenizer(folder)) return read_llama2c_tokenizer(*file);
    const std::string_view sentencepiece =
        is_file(folder / "tokenizer.model") ? " tokenizer.model (SentencePiece) is not read: tokenizer.json is needed."
                                            : "";
    fail<format_error>(folder.string(), ": no tokenizer: looked for tokenizer.json, tokenizer.bin and tok*.bin.",
                       sentencepiece, " Token ids can be given instead of text.");
}

}  // namespace

bool is_file(const fs::path& path) noexcept {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
}

std::string read_file(const fs::path& file) {
    std::error_code error;
    std::string bytes(is_file(file) ? fs::file_size(file, error) : 0, '\0');
    std::ifstream in(file, std::ios::binary);
    if (error || !in.read(bytes.data(), static_cast<std::streamsize>(bytes.size())))
        fail<gptq::file_error>(file.string(), ": cannot be read");
    return bytes;
}

std::optional<char> byte_of(std::string_view piece) noexcept {
    if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return std::nullopt;
    unsigned value = 0;
    for (const char c : piece.substr(3, 2)) {
        const auto digit = std::string_view("0123456789ABCDEFabcdef").find(c);
        if (digit == std::string_view::npos) return std::nullopt;
        value = value * 16 + static_cast<unsigned>(digit < 16 ? digit : digit - 6);
    }
    return static_cast<char>(value);
}

std::optional<fs::path> find_llama2c_tokenizer(const fs::path& folder) {
    if (is_file(folder / "tokenizer.bin")) return folder / "tokenizer.bin";
    const std::vector<fs::path> found = llama2c_files(folder);
    if (found.size() > 1)
        fail<format_error>(folder.string(), ": more than one tokenizer: ", found[0].filename().string(), " and ",
                           found[1].filename().string(), "; expected tokenizer.json, tokenizer.bin or one tok*.bin");
    if (found.empty()) return std::nullopt;
    return found.front();
}

tokenizer tokenizer::open(const fs::path& model_folder) {
    const bool has_json = is_file(model_folder / "tokenizer.json");
    return tokenizer(std::make_shared<const tokenizer_model>(has_json ? read_tokenizer_json(model_folder)
                                                                      : read_llama2c_folder(model_folder)));
}

tokenizer::tokenizer(std::shared_ptr<const tokenizer_model> model) : model_(std::move(model)) {}

std::vector<std::uint32_t> tokenizer::encode(std::string_view text) const {
    std::vector<std::uint32_t> ids;
    const auto encode_normalized = [&](std::string_view plain, bool at_text_start) {
        for (const auto& part : model_->as_normalized.split(plain)) {
            if (part.id) {
                ids.push_back(*part.id);
                continue;
            }
            word whole{std::string(part.text), at_text_start && part.text.data() == plain.data()};
            for (const word& w : pre_tokenized(model_->pre_tokenizers, std::move(whole)))
                model_->pieces.encode(w.text, ids);
        }
    };
    for (const auto& part : model_->as_written.split(text)) {
        if (part.id) {
            ids.push_back(*part.id);
        } else {
            encode_normalized(normalized(model_->normalizers, part.text), part.text.data() == text.data());
        }
    }
    return ids;
}

std::string tokenizer::decode(std::span<const std::uint32_t> ids) const {
    std::string text;
    text_stream stream(*this);
    for (const std::uint32_t id : ids) text += stream.next(id);
    return text;
}

std::optional<std::uint32_t> tokenizer::bos() const noexcept { return model_->bos; }
std::optional<std::uint32_t> tokenizer::eos() const noexcept { return model_->eos; }
std::size_t tokenizer::vocab_size() const noexcept { return model_->vocab_size; }

std::string text_stream::next(std::uint32_t id) {
    const auto found = model_->printed.find(id);
    if (found == model_->printed.end() || found->second.empty()) return {};
    std::string text = found->second;
    const bool first = std::exchange(at_start_, false);
    switch (model_->lost) {
        case lost_in_front::nothing: break;
        case lost_in_front::space:
            if (first && text.starts_with(' ')) text.erase(0, 1);
            break;
        case lost_in_front::metaspaces: replace_all(text, model_->metaspace_mark, first ? "" : " "); break;
    }
    return text;
}

}  // namespace llama
