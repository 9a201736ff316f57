// The one door to the JSON library: a strict parser, and fields that complain in this library's words.
// Strict: no duplicate keys (of which others silently keep one), no deep nesting, nothing after the value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <gptq/core/error.hpp>

namespace gptq::io::impl {

using nlohmann::json;

/// Watches the parser: the keys of each object that is open, and how deep they are.
class strictness {
public:
    explicit strictness(std::string_view where) : where_(where) {}

    bool operator()(int depth, json::parse_event_t event, const json& value) {
        using event_type = json::parse_event_t;
        constexpr int deepest = 32;
        if (depth > deepest) gptq::detail::fail<format_error>(where_, ": JSON is nested deeper than ", deepest);
        if (event == event_type::object_start) keys_.emplace_back();
        if (event == event_type::object_end) keys_.pop_back();
        if (event == event_type::key && !keys_.back().insert(value.get<std::string>()).second)
            gptq::detail::fail<format_error>(where_, ": JSON has the key '", value.get<std::string>(), "' twice");
        return true;
    }

private:
    std::string_view where_;
    std::vector<std::set<std::string>> keys_;
};

/// @param where  file, and place in it, that messages begin with
/// @throws format_error  with the offset of the first byte that is not JSON
[[nodiscard]] inline json parse_json(std::string_view text, std::string_view where) {
    // The parser takes a 0 byte for the end and would not look at what follows it.
    if (const auto zero = text.find('\0'); zero != std::string_view::npos)
        gptq::detail::fail<format_error>(where, ": not JSON, byte ", zero, " is 0");
    try {
        return json::parse(text.begin(), text.end(), strictness(where));
    } catch (const json::parse_error& e) {
        gptq::detail::fail<format_error>(where, ": not JSON at byte ", e.byte > 0 ? e.byte - 1 : 0);
    } catch (const json::exception&) {
        gptq::detail::fail<format_error>(where, ": JSON holds a number that is out of range");
    }
}

/// What was found, for messages: short values as they are, others by their kind.
[[nodiscard]] inline std::string found(const json& value) {
    if (value.is_structured() || (value.is_string() && value.get_ref<const std::string&>().size() > 60))
        return std::string("of type ") + value.type_name();
    return value.dump();
}

[[noreturn]] inline void fail_value(std::string_view where, std::string_view what, const json& value,
                                    std::string_view expected) {
    gptq::detail::fail<format_error>(where, ": ", what, " is ", found(value), ", expected ", expected);
}

[[nodiscard]] inline const json::object_t& as_object(const json& value, std::string_view where, std::string_view what) {
    if (!value.is_object()) fail_value(where, what, value, "an object");
    return value.get_ref<const json::object_t&>();
}

[[nodiscard]] inline const std::string& as_string(const json& value, std::string_view where, std::string_view what) {
    if (!value.is_string()) fail_value(where, what, value, "a string");
    return value.get_ref<const std::string&>();
}

[[nodiscard]] inline std::vector<std::string> as_strings(const json& value, std::string_view where,
                                                         std::string_view what) {
    if (!value.is_array()) fail_value(where, what, value, "an array of strings");
    std::vector<std::string> strings;
    for (const json& one : value) strings.push_back(as_string(one, where, what));
    return strings;
}

[[nodiscard]] inline bool as_bool(const json& value, std::string_view where, std::string_view what) {
    if (!value.is_boolean()) fail_value(where, what, value, "true or false");
    return value.get<bool>();
}

/// Whole numbers only: 3, not 3.0 and not 3e0.
[[nodiscard]] inline std::int64_t as_integer(const json& value, std::string_view where, std::string_view what) {
    if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX))
        fail_value(where, what, value, "a whole number");
    return value.get<std::int64_t>();
}

[[nodiscard]] inline std::size_t as_size(const json& value, std::string_view where, std::string_view what) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > SIZE_MAX)
        fail_value(where, what, value, "a whole number, not negative");
    return static_cast<std::size_t>(value.get<std::uint64_t>());
}

[[nodiscard]] inline double as_double(const json& value, std::string_view where, std::string_view what) {
    if (!value.is_number()) fail_value(where, what, value, "a number");
    return value.get<double>();
}

}  // namespace gptq::io::impl
