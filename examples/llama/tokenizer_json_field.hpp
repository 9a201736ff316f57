// A value in a JSON file together with its place, so that every complaint says which file and which field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <gptq/core/error.hpp>
#include <nlohmann/json.hpp>

namespace llama {

/// @throws gptq::file_error, gptq::format_error  the file cannot be read, or is not JSON
[[nodiscard]] nlohmann::json parse_json(const std::filesystem::path& file);

class json_field {
public:
    /// @param place  "folder/file.json" for the whole file
    json_field(const nlohmann::json& value, std::string place) : value_(&value), place_(std::move(place)) {}

    /// The member `key`; a field of null where there is none.
    [[nodiscard]] json_field operator[](const std::string& key) const {
        static const nlohmann::json null;
        if (!value_->is_object()) refuse("an object");
        const auto found = value_->find(key);
        return {found == value_->end() ? null : *found, gptq::detail::text(place_, ": ", key)};
    }

    [[nodiscard]] bool is_null() const noexcept { return value_->is_null(); }
    [[nodiscard]] bool is_string() const noexcept { return value_->is_string(); }
    [[nodiscard]] bool is_object() const noexcept { return value_->is_object(); }

    [[nodiscard]] const std::string& text() const {
        if (!value_->is_string()) refuse("a string");
        return value_->get_ref<const std::string&>();
    }
    [[nodiscard]] std::string text_or(std::string_view absent) const {
        return is_null() ? std::string(absent) : text();
    }

    [[nodiscard]] bool flag() const {
        if (!value_->is_boolean()) refuse("true or false");
        return value_->get<bool>();
    }
    [[nodiscard]] bool flag_or(bool absent) const { return is_null() ? absent : flag(); }

    [[nodiscard]] std::uint32_t number() const {
        constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
        if (!value_->is_number_unsigned() || value_->get<std::uint64_t>() > most) refuse("a whole number below 2^32");
        return value_->get<std::uint32_t>();
    }

    /// Calls visit(element) for each element of an array.
    template <class Visit>
    void for_each(Visit&& visit) const {
        if (!value_->is_array()) refuse("an array");
        for (std::size_t i = 0; i < value_->size(); ++i)
            visit(json_field((*value_)[i], gptq::detail::text(place_, "[", i, "]")));
    }

    /// Calls visit(key, member) for each member of an object.
    template <class Visit>
    void for_each_member(Visit&& visit) const {
        if (!value_->is_object()) refuse("an object");
        for (const auto& [key, member] : value_->items())
            visit(key, json_field(member, gptq::detail::text(place_, ": ", key)));
    }

    /// Throws a format_error: "file.json: model: type is "Unigram", expected "BPE"".
    [[noreturn]] void refuse(std::string_view expected) const {
        gptq::detail::fail<gptq::format_error>(place_, " is ", shown(), ", expected ", expected);
    }

    /// Refuses every value but `expected`.
    void expect(const nlohmann::json& expected) const {
        if (*value_ != expected) refuse(expected.dump());
    }

    [[nodiscard]] const std::string& place() const noexcept { return place_; }

private:
    [[nodiscard]] std::string shown() const {
        if (value_->is_structured()) return value_->is_array() ? "an array" : "an object";
        return is_string() ? '"' + text().substr(0, 80) + '"' : value_->dump();
    }

    const nlohmann::json* value_;
    std::string place_;
};

}  // namespace llama
