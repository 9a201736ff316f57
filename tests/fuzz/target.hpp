// What the harnesses share. A harness is libFuzzer's entry: any bytes are either read, and then consistent, or refused
// with one error of the right class. Whatever else happens ends the program: another exception, a property that does
// not hold, and what sanitizers find.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <gptq/core/error.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzz {

/// A property of what was read, or of what was said about it.
inline void require(bool holds) {
    if (!holds) std::abort();
}

/// What was refused last, for who wants to see it.
inline std::string last_refusal;

/// True when f returns; false when it refuses, in one line that is not endless.
template <class Error = gptq::format_error, class F>
[[nodiscard]] bool accepts(F&& f) {
    try {
        std::forward<F>(f)();
        return true;
    } catch (const Error& e) {
        const std::string_view message = e.what();
        require(!message.empty() && message.size() < 20'000);
        for (const char c : message) require(static_cast<unsigned char>(c) >= 0x20);
        last_refusal = message;
        return false;
    }
}

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
    return std::as_bytes(std::span(data, size));
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

}  // namespace fuzz
