// Where characters end in bytes that may or may not be UTF-8.
#pragma once

#include <cstddef>
#include <string_view>

namespace llama {

/// Bytes of the UTF-8 character that `text` begins with; 0 where it begins with none (RFC 3629: no overlong forms,
/// no surrogates, nothing past U+10FFFF).
[[nodiscard]] inline std::size_t character_bytes(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const auto within = [&](std::size_t i, unsigned low, unsigned high) { return byte(i) >= low && byte(i) <= high; };
    const auto tail = [&](std::size_t i) { return within(i, 0x80, 0xBF); };

    const unsigned lead = byte(0);
    if (lead < 0x80) return text.empty() ? 0 : 1;
    if (within(0, 0xC2, 0xDF)) return tail(1) ? 2 : 0;
    if (within(0, 0xE0, 0xEF))
        return within(1, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF) && tail(2) ? 3 : 0;
    if (within(0, 0xF0, 0xF4))
        return within(1, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF) && tail(2) && tail(3) ? 4 : 0;
    return 0;
}

}  // namespace llama
