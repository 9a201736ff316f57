// What the io tests share: safetensors files made by hand, right or wrong, and a look at what an error says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <gptq/core/endian.hpp>

/// The bytes of a file with this header, whatever it says, and these data.
inline std::string raw_safetensors(std::string_view header, std::string_view data) {
    std::string bytes(sizeof(std::uint64_t), '\0');
    gptq::impl::store_little_endian(bytes.data(), std::uint64_t{header.size()});
    return bytes.append(header).append(data);
}

/// Any numbers as they lie in files.
template <class T>
std::string bytes_of(const T& values) {
    const auto bytes = gptq::impl::little_endian_bytes(std::span(values));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

/// What f says when it throws an Error. Any other exception is let through, and fails the test.
template <class Error, class F>
std::string message_of(F&& f) {
    try {
        f();
    } catch (const Error& e) {
        return e.what();
    }
    return "(nothing was thrown)";
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }
