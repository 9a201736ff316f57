// The one door to the JSON library: a strict parser, and fields that complain in this library's words.
// Strict: no duplicate keys (of which others silently keep one), no deep nesting, nothing after the value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>  // IWYU pragma: export

#include <gptq/core/error.hpp>

namespace gptq::io::impl {

using nlohmann::json;
/// For configurations, which people read, and in which an order can matter: keys stay as they were written.
using nlohmann::ordered_json;

/// Keys of one object whose order is kept: finding one takes a look at all, and finding all a second for so many.
inline constexpr std::size_t most_ordered_keys = 10'000;

/// Values of one JSON text. In memory each takes up to forty times its two or three bytes: this is what no text,
/// however short its values, gets beyond. The largest index of a model has a fifth of it.
inline constexpr std::size_t most_values = 1'000'000;

/// Makes a value of what the parser sees, and refuses what is not strict where it stands. The library's parser can be
/// watched through a callback too, but then takes quadratic time: after each object it goes through its parent's
/// others.
template <class Json>
class json_builder : public Json::json_sax_t {
public:
    /// Told of each member of the outermost object when it is complete. Its value is dropped then: what is counted, and
    /// lies in memory, is one member.
    using member_function = std::function<void(const std::string& key, Json& value)>;

    explicit json_builder(std::string_view where, member_function on_member = {})
        : where_(where), on_member_(std::move(on_member)) {}

    /// @throws format_error  with the offset of the first byte that is not JSON, or with what is not strict
    void read(std::string_view text) {
        // The parser takes a 0 byte for the end and would not look at what follows it.
        if (const auto zero = text.find('\0'); zero != text.npos) fail("not JSON, byte ", zero, " is 0");
        if (!Json::sax_parse(text.begin(), text.end(), this)) fail(problem_);
    }

    /// What was read.
    [[nodiscard]] Json take() { return std::move(root_); }

    bool null() override { return put(nullptr); }
    bool boolean(bool value) override { return put(value); }
    bool number_integer(typename Json::number_integer_t value) override { return put(value); }
    bool number_unsigned(typename Json::number_unsigned_t value) override { return put(value); }
    bool number_float(typename Json::number_float_t value, const std::string&) override { return put(value); }
    bool string(std::string& value) override { return put(std::move(value)); }
    bool binary(typename Json::binary_t&) override { return false; }  // text has none
    bool start_object(std::size_t) override { return open(Json::object()); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(Json::array()); }
    bool end_array() override { return close(); }

    bool key(std::string& name) override {
        const auto [member, is_new] = open_.back()->emplace(name, nullptr);
        if (!is_new) fail("JSON has the key '", name, "' twice");
        if (std::is_same_v<Json, ordered_json> && open_.back()->size() > most_ordered_keys)
            fail("JSON has an object of more than ", most_ordered_keys, " keys");
        if (open_.size() == 1) outer_key_ = &member.key();
        member_ = &*member;
        return true;
    }

    bool parse_error(std::size_t position, const std::string&, const typename Json::exception& e) override {
        const bool is_syntax = dynamic_cast<const typename Json::parse_error*>(&e) != nullptr;
        problem_ = is_syntax ? gptq::detail::text("not JSON at byte ", position > 0 ? position - 1 : 0)
                             : "JSON holds a number that is out of range";
        return false;
    }

private:
    template <class... Parts>
    [[noreturn]] void fail(const Parts&... parts) const {
        gptq::detail::fail<format_error>(where_, ": ", parts...);
    }

    /// Puts a value where the text has it. No pointer to an open value dangles: only the innermost one grows.
    Json* placed(Json value) {
        if (++values_ > most_values) fail("JSON has more than ", most_values, " values");
        if (open_.empty()) return &(root_ = std::move(value));
        if (open_.back()->is_object()) return &(*member_ = std::move(value));
        open_.back()->push_back(std::move(value));
        return &open_.back()->back();
    }

    bool put(Json value) { return finish(placed(std::move(value))); }

    bool open(Json value) {
        constexpr std::size_t deepest = 32;
        if (open_.size() == deepest) fail("JSON is nested deeper than ", deepest);
        open_.push_back(placed(std::move(value)));
        return true;
    }

    bool close() {
        Json* const value = open_.back();
        open_.pop_back();
        return finish(value);
    }

    /// A member of the outermost object is done with when it is complete.
    bool finish(Json* value) {
        if (on_member_ && open_.size() == 1) {
            on_member_(*outer_key_, *value);
            *value = nullptr;
            values_ = 0;
        }
        return true;
    }

    std::string_view where_;
    member_function on_member_;
    Json root_;
    std::vector<Json*> open_;
    const std::string* outer_key_ = nullptr;  ///< of the outermost object's member
    Json* member_ = nullptr;                  ///< of the innermost object, where its value goes
    std::size_t values_ = 0;
    std::string problem_;  ///< with the text
};

/// @param where  file, and place in it, that messages begin with
/// @throws format_error  with the offset of the first byte that is not JSON, or with what is not strict
template <class Json = json>
[[nodiscard]] Json parse_json(std::string_view text, std::string_view where) {
    json_builder<Json> builder(where);
    builder.read(text);
    return builder.take();
}

/// Calls f(key, value) for each member of an object, in the order of the text. The values are not in memory together.
/// @pre    the text begins with {
/// @throws format_error  as parse_json
template <class F>
void for_each_member(std::string_view text, std::string_view where, F&& f) {
    json_builder<json> builder(where, std::forward<F>(f));
    builder.read(text);
}

/// What was found, for messages: short values as they are, others by their kind.
template <class Json>
[[nodiscard]] std::string found(const Json& value) {
    if (value.is_structured() || (value.is_string() && value.template get_ref<const std::string&>().size() > 60))
        return std::string("of type ") + value.type_name();
    return value.dump();
}

template <class Json>
[[noreturn]] void fail_value(std::string_view where, std::string_view what, const Json& value,
                             std::string_view expected) {
    gptq::detail::fail<format_error>(where, ": ", what, " is ", found(value), ", expected ", expected);
}

template <class Json>
[[nodiscard]] const typename Json::object_t& as_object(const Json& value, std::string_view where,
                                                       std::string_view what) {
    if (!value.is_object()) fail_value(where, what, value, "an object");
    return value.template get_ref<const typename Json::object_t&>();
}

template <class Json>
[[nodiscard]] const std::string& as_string(const Json& value, std::string_view where, std::string_view what) {
    if (!value.is_string()) fail_value(where, what, value, "a string");
    return value.template get_ref<const std::string&>();
}

template <class Json>
[[nodiscard]] std::vector<std::string> as_strings(const Json& value, std::string_view where, std::string_view what) {
    if (!value.is_array()) fail_value(where, what, value, "an array of strings");
    std::vector<std::string> strings;
    for (const Json& one : value) strings.push_back(as_string(one, where, what));
    return strings;
}

template <class Json>
[[nodiscard]] bool as_bool(const Json& value, std::string_view where, std::string_view what) {
    if (!value.is_boolean()) fail_value(where, what, value, "true or false");
    return value.template get<bool>();
}

/// Whole numbers only: 3, not 3.0 and not 3e0.
template <class Json>
[[nodiscard]] std::int64_t as_integer(const Json& value, std::string_view where, std::string_view what) {
    if (!value.is_number_integer() || (value.is_number_unsigned() && value.template get<std::uint64_t>() > INT64_MAX))
        fail_value(where, what, value, "a whole number");
    return value.template get<std::int64_t>();
}

template <class Json>
[[nodiscard]] std::size_t as_size(const Json& value, std::string_view where, std::string_view what) {
    if (!value.is_number_unsigned()) fail_value(where, what, value, "a whole number, not negative");
    const auto size = value.template get<std::uint64_t>();
    if (size > SIZE_MAX)
        gptq::detail::fail<format_error>(where, ": ", what, " is ", size, ", which is more than memory can address");
    return static_cast<std::size_t>(size);
}

template <class Json>
[[nodiscard]] double as_double(const Json& value, std::string_view where, std::string_view what) {
    if (!value.is_number()) fail_value(where, what, value, "a number");
    return value.template get<double>();
}

}  // namespace gptq::io::impl
