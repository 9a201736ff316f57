// The errors that the library throws. One line each: who complains, about what, what was expected, what was found.
// Checks stand at the public door only; what lies behind is noexcept and trusts them.
// Without exceptions (-fno-exceptions; the headers of gptq/runtime.hpp allow it) the line goes to stderr, and the
// program ends by std::abort. Compile a program with one or the other.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdio>
#include <cstdlib>  // IWYU pragma: keep
#include <stdexcept>
#include <string>
#include <string_view>

#include <gptq/core/config.hpp>

namespace gptq {

/// Base of every exception of this library.
struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Two sizes that must agree do not.
struct shape_error : error {
    using error::error;
};

/// An option, or a combination of options, that cannot work.
struct option_error : error {
    using error::error;
};

/// A file that is not what it claims to be: names the file, the tensor or field, expected and found.
struct format_error : error {
    using error::error;
};

/// The operating system refused: open, map, write, rename.
struct file_error : error {
    using error::error;
};

/// Numbers that no retry can mend: a NaN or an infinity, with the first place it was seen.
struct numeric_error : error {
    using error::error;
};

namespace detail {

inline void append(std::string& out, std::string_view s) { out += s; }
inline void append(std::string& out, char c) { out += c; }
void append(std::string& out, std::integral auto n) { out += std::to_string(n); }
void append(std::string& out, std::floating_point auto x) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%g", static_cast<double>(x));
    out += digits;
}

/// Joins strings and numbers into one message.
template <class... Parts>
[[nodiscard]] std::string text(const Parts&... parts) {
    std::string out;
    (append(out, parts), ...);
    return out;
}

/// A message as one line for a terminal. Messages quote files, in which a name may be anything: control characters
/// become \xNN (a 0 would end the message), and what is endless loses its middle.
[[nodiscard]] inline std::string printable(std::string_view message) {
    constexpr std::size_t longest = 4000, at_each_end = 1000;
    if (message.size() > longest)
        return printable(message.substr(0, at_each_end)) + " … " +
               printable(message.substr(message.size() - at_each_end));
    std::string out;
    for (const char c : message) {
        const auto byte = static_cast<unsigned char>(c);
        char escape[5] = {c};
        if (byte < 0x20 || byte == 0x7F) std::snprintf(escape, sizeof escape, "\\x%02X", unsigned{byte});
        out += escape;
    }
    return out;
}

/// Throws Error with the joined message, or ends the program with it. Out of line and cold: a check costs one compare.
template <class Error, class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail(const Parts&... parts) {
#if GPTQ_WITH_EXCEPTIONS
    throw Error(printable(text(parts...)));
#else
    std::fprintf(stderr, "gptq: %s\n", printable(text(parts...)).c_str());
    std::abort();
#endif
}

inline void expect_equal(std::string_view who, std::string_view what, std::size_t expected, std::size_t found) {
    if (expected != found) [[unlikely]]
        fail<shape_error>(who, ": ", what, " is ", found, ", expected ", expected);
}

}  // namespace detail
}  // namespace gptq
