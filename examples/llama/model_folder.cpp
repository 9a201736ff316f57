#include "model_folder.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace llama {
namespace {

bool belongs_to_model(const std::string& file) {
    constexpr std::array<std::string_view, 9> beginnings = {"tokenizer",    "tok",           "special_tokens",
                                                            "added_tokens", "generation",    "vocab",
                                                            "merges",       "chat_template", "LICENSE"};
    return std::ranges::any_of(beginnings, [&](std::string_view b) { return file.starts_with(b); });
}

}  // namespace

void copy_small_files(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::filesystem::copy_file(from / "config.json", to / "config.json");
    for (const auto& entry : std::filesystem::directory_iterator(from))
        if (entry.is_regular_file() && belongs_to_model(entry.path().filename().string()))
            std::filesystem::copy_file(entry.path(), to / entry.path().filename());
}

}  // namespace llama
