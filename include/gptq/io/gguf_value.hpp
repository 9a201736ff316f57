// The metadata of GGUF files: values of thirteen types under names. Types are strict, as llama.cpp's are: a count that
// is written as i32 where a reader wants u32 is an error there, and so it is here.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/core/one_of.hpp>

namespace gptq::io {

/// The place of arrays among the types of values. Arrays of arrays are no part of the format.
struct gguf_no_nesting {
    friend bool operator==(gguf_no_nesting, gguf_no_nesting) = default;
};

/// Elements of one type, whose number in the format is index().
using gguf_array = std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                                std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                                std::vector<float>, std::vector<bool>, std::vector<std::string>, gguf_no_nesting,
                                std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>;

/// A value, whose type's number in the format is index().
using gguf_value = std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t,
                                float, bool, std::string, gguf_array, std::uint64_t, std::int64_t, double>;

/// Key → value.
using gguf_metadata = std::map<std::string, gguf_value, std::less<>>;

/// By the numbers of the types.
inline constexpr std::array<std::string_view, std::variant_size_v<gguf_value>> gguf_type_names{
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

/// "u32", "array of string": for messages.
[[nodiscard]] inline std::string type_name(const gguf_value& value) {
    const auto* array = std::get_if<gguf_array>(&value);
    if (array == nullptr) return std::string(gguf_type_names[value.index()]);
    return "array of " + std::string(gguf_type_names[array->index()]);
}

namespace impl {

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

template <class T, class Variant>
inline constexpr bool is_alternative = false;
template <class T, class... Types>
inline constexpr bool is_alternative<T, std::variant<Types...>> = gptq::detail::is_one_of<T, Types...>;

template <class T>
inline constexpr bool is_type_of_value = is_alternative<T, std::conditional_t<is_vector<T>, gguf_array, gguf_value>>;

}  // namespace impl

/// What a value can be read as: std::uint32_t, float, std::string, std::vector<std::string>, …
template <class T>
concept gguf_value_type = impl::is_type_of_value<T>;

namespace impl {

/// The value as a T; nullptr when it is of another type.
template <class T>
[[nodiscard]] const T* get_if(const gguf_value& value) noexcept {
    if constexpr (is_vector<T>) {
        const auto* array = std::get_if<gguf_array>(&value);
        return array == nullptr ? nullptr : std::get_if<T>(array);
    } else {
        return std::get_if<T>(&value);
    }
}

}  // namespace impl

/// The value under a key; nullptr when there is none.
/// @tparam T  the type that the file must have it in
/// @param  path  which file an error is about
/// @throws format_error  it is of another type
template <gguf_value_type T>
[[nodiscard]] const T* find(const gguf_metadata& metadata, std::string_view key, std::string_view path) {
    const auto found = metadata.find(key);
    if (found == metadata.end()) return nullptr;
    const T* value = impl::get_if<T>(found->second);
    if (value == nullptr) {
        const std::conditional_t<impl::is_vector<T>, gguf_array, gguf_value> expected = T{};
        gptq::detail::fail<format_error>(path, ": key '", key, "' is of type ", type_name(found->second), ", expected ",
                                         type_name(expected));
    }
    return value;
}

/// The same, for a key that must be there.
/// @throws format_error  there is none, or it is of another type
template <gguf_value_type T>
[[nodiscard]] const T& at(const gguf_metadata& metadata, std::string_view key, std::string_view path) {
    const T* value = find<T>(metadata, key, path);
    if (value == nullptr) gptq::detail::fail<format_error>(path, ": has no key '", key, "'");
    return *value;
}

}  // namespace gptq::io
