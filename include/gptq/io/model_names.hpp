// What the files of a model are called: one, or several with an index, as Hugging Face names them.
#pragma once

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

namespace gptq::io::impl {

inline constexpr const char* single_name = "model.safetensors";
inline constexpr const char* index_name = "model.safetensors.index.json";

/// "model-00001-of-00003.safetensors", counted from 1. Numbers beyond 99999 take more digits.
[[nodiscard]] inline std::string shard_name(std::size_t number, std::size_t count) {
    const auto digits = [](std::size_t n) {
        const std::string text = std::to_string(n);
        return std::string(text.size() < 5 ? 5 - text.size() : 0, '0') + text;
    };
    return "model-" + digits(number) + "-of-" + digits(count) + ".safetensors";
}

/// Whether a file is one of several, whatever its name begins with.
[[nodiscard]] inline bool is_shard_name(std::string_view name) {
    const auto of = name.rfind("-of-");
    if (of == name.npos) return false;
    std::size_t count = 0;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + of + 4, end, count);
    return error == std::errc{} && std::string_view(rest, end) == ".safetensors" && count > 1;
}

}  // namespace gptq::io::impl
