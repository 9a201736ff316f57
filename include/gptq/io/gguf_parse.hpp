// Reading the header of a GGUF file. It trusts nothing: whatever a file says of its own sizes is compared with what is
// left of it before anything is used or allocated.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/io/gguf_header.hpp>
#include <gptq/io/gguf_value.hpp>
#include <gptq/pack/ggml_type.hpp>

namespace gptq::io::impl {

/// Takes one thing after the other from the bytes of a file.
class gguf_cursor {
public:
    gguf_cursor(std::span<const std::byte> file, std::string_view path) : file_(file), path_(path) {}

    [[nodiscard]] std::size_t position() const noexcept { return position_; }
    [[nodiscard]] std::size_t left() const noexcept { return file_.size() - position_; }

    /// The next `size` bytes.
    [[nodiscard]] std::span<const std::byte> take(std::uint64_t size, std::string_view what) {
        last_ = position_;
        if (size > left()) fail(what, " takes ", size, " bytes, but only ", left(), " follow; the file is truncated");
        const auto bytes = file_.subspan(position_, static_cast<std::size_t>(size));
        position_ += bytes.size();
        return bytes;
    }

    template <class T>
    requires std::is_arithmetic_v<T>
    [[nodiscard]] T number(std::string_view what) {
        return gptq::impl::load_little_endian<T>(take(sizeof(T), what).data());
    }

    [[nodiscard]] std::string text(std::string_view what) {
        const auto length = number<std::uint64_t>(what);
        const auto bytes = take(length, what);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    /// A number that counts or measures memory.
    [[nodiscard]] std::size_t size(std::string_view what) {
        const auto n = number<std::uint64_t>(what);
        if (n > std::numeric_limits<std::size_t>::max())
            fail(what, " has a size or a place of ", n, ", which is more than memory can address");
        return static_cast<std::size_t>(n);
    }

    /// How many things follow, each of at least `least_bytes`.
    [[nodiscard]] std::size_t count(std::size_t least_bytes, std::string_view things) {
        const auto n = number<std::uint64_t>(things);
        if (n > left() / least_bytes)
            fail(n, " ", things, " do not fit in the ", left(), " bytes that follow; the file is truncated");
        return static_cast<std::size_t>(n);
    }

    /// "model.gguf: byte 24: …", where what was taken last begins.
    template <class... Parts>
    [[noreturn]] void fail(const Parts&... parts) const {
        gptq::detail::fail<format_error>(path_, ": byte ", last_, ": ", parts...);
    }

private:
    std::span<const std::byte> file_;
    std::string_view path_;
    std::size_t position_ = 0;
    std::size_t last_ = 0;  ///< where what was taken last begins
};

/// What a value or an element of type T takes at least.
template <class T>
inline constexpr std::size_t least_bytes = std::is_same_v<T, std::string> ? sizeof(std::uint64_t) : sizeof(T);

template <class T>
[[nodiscard]] T read_value(gguf_cursor& cursor, std::string_view what) {
    if constexpr (std::is_same_v<T, std::string>) {
        return cursor.text(what);
    } else if constexpr (std::is_same_v<T, bool>) {
        const auto value = cursor.number<std::uint8_t>(what);
        if (value > 1) cursor.fail(what, " is ", unsigned{value}, ", expected 0 or 1, as it is a bool");
        return value != 0;
    } else {
        return cursor.number<T>(what);
    }
}

/// Calls f with the index'th alternative of a variant, as std::type_identity; false when there is none.
template <class Variant, class F>
bool visit_index(std::size_t index, F&& f) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
        return ((I == index && (f(std::type_identity<std::variant_alternative_t<I, Variant>>{}), true)) || ...);
    }
    (std::make_index_sequence<std::variant_size_v<Variant>>{});
}

[[nodiscard]] inline gguf_array read_array(gguf_cursor& cursor, std::string_view what) {
    const auto type = cursor.number<std::uint32_t>(what);
    gguf_array array;
    const bool known = visit_index<gguf_array>(type, [&]<class Vector>(std::type_identity<Vector>) {
        if constexpr (std::is_same_v<Vector, gguf_no_nesting>) {
            cursor.fail(what, " is an array of arrays, which the format does not have");
        } else {
            using element = typename Vector::value_type;
            Vector elements;
            const std::size_t count = cursor.count(least_bytes<element>, gptq::detail::text("elements of ", what));
            elements.reserve(count);
            for (std::size_t i = 0; i < count; ++i) elements.push_back(read_value<element>(cursor, what));
            array = std::move(elements);
        }
    });
    if (!known) cursor.fail(what, " is an array of type ", type, ", expected 0 … ", gguf_type_names.size() - 1);
    return array;
}

[[nodiscard]] inline gguf_value read_value(gguf_cursor& cursor, std::string_view what) {
    const auto type = cursor.number<std::uint32_t>(what);
    gguf_value value;
    const bool known = visit_index<gguf_value>(type, [&]<class T>(std::type_identity<T>) {
        if constexpr (std::is_same_v<T, gguf_array>)
            value = read_array(cursor, what);
        else
            value.emplace<T>(read_value<T>(cursor, what));
    });
    if (!known) cursor.fail(what, " is of type ", type, ", expected 0 … ", gguf_type_names.size() - 1);
    return value;
}

[[nodiscard]] inline gguf_metadata read_gguf_metadata(gguf_cursor& cursor, std::size_t pairs) {
    gguf_metadata metadata;
    for (std::size_t i = 0; i < pairs; ++i) {
        std::string key = cursor.text("a key");
        if (key.empty() || key.size() > max_key)
            cursor.fail("a key has ", key.size(), " bytes, expected 1 … ", max_key);
        if (metadata.contains(key)) cursor.fail("key '", key, "' stands there twice");
        gguf_value value = read_value(cursor, gptq::detail::text("key '", key, "'"));
        metadata.emplace(std::move(key), std::move(value));
    }
    return metadata;
}

/// One tensor, all but its place among the others checked.
[[nodiscard]] inline gguf_entry read_gguf_entry(gguf_cursor& cursor) {
    gguf_entry entry{cursor.text("a tensor's name"), {}, {}, 0, 0};
    if (entry.name.size() > max_tensor_name)
        cursor.fail("a tensor's name has ", entry.name.size(), " bytes, expected at most ", max_tensor_name);
    const std::string what = gptq::detail::text("tensor '", entry.name, "'");
    const auto axes = cursor.number<std::uint32_t>(what);
    if (axes > max_axes) cursor.fail(what, " has ", axes, " axes, expected at most ", max_axes);
    for (std::uint32_t i = 0; i < axes; ++i) entry.shape.insert(entry.shape.begin(), cursor.size(what));
    const auto number = cursor.number<std::uint32_t>(what);
    const auto type = ggml_type_numbered(number);
    if (!type) cursor.fail(what, " has elements of type ", number, ", which is not known");
    entry.type = *type;
    entry.begin = cursor.size(what);
    const auto size = tensor_bytes(entry.type, entry.shape);
    if (!size)
        cursor.fail(what, ", ", type_text(entry.type, entry.shape),
                    ", is more than memory can address, or its rows are not whole blocks of ",
                    traits(entry.type).elements, " elements");
    entry.size = *size;
    return entry;
}

/// Each tensor must begin where the one before it ends, rounded up, and end in the file.
inline void expect_tensors_in_place(std::span<const gguf_entry> tensors, std::size_t data_size, std::size_t alignment,
                                    std::string_view path) {
    using gptq::detail::fail;
    std::size_t next = 0;
    for (const gguf_entry& tensor : tensors) {
        if (tensor.begin != next)
            fail<format_error>(path, ": tensor '", tensor.name, "' begins at ", tensor.begin, ", expected ", next,
                               ", where the one before it ends");
        if (next > data_size || tensor.size > data_size - next)
            fail<format_error>(path, ": tensor '", tensor.name, "' has ", tensor.size, " bytes from ", next,
                               " on, but the file has ", data_size, " bytes of data; truncated?");
        next = padded(next + tensor.size, alignment);
    }
}

inline void expect_different_names(std::span<const gguf_entry> tensors, std::string_view path) {
    std::vector<std::string_view> names;
    for (const gguf_entry& tensor : tensors) names.push_back(tensor.name);
    std::ranges::sort(names);
    if (const auto twice = std::ranges::adjacent_find(names); twice != names.end())
        gptq::detail::fail<format_error>(path, ": tensor '", *twice, "' stands there twice");
}

/// @param file  the whole file
/// @throws format_error  the first thing that is not as the format wants it
[[nodiscard]] inline gguf_header parse_gguf(std::span<const std::byte> file, std::string_view path) {
    gguf_cursor cursor(file, path);
    const auto magic = cursor.take(gguf_magic.size(), "\"GGUF\"");
    if (std::memcmp(magic.data(), gguf_magic.data(), magic.size()) != 0)
        gptq::detail::fail<format_error>(path, ": does not begin with \"GGUF\"; not a GGUF file");
    const auto version = cursor.number<std::uint32_t>("the version");
    if (version != 0 && (version & 0xFFFFU) == 0)
        cursor.fail("the file is big-endian, which is not read; expected a little-endian file");
    if (version != 2 && version != gguf_version) cursor.fail("version is ", version, ", expected 2 or 3");

    constexpr std::size_t least_tensor = 8 + 4 + 4 + 8, least_pair = 8 + 1 + 4 + 1;
    const std::size_t tensors = cursor.count(least_tensor, "tensors");
    const std::size_t pairs = cursor.count(least_pair, "metadata pairs");
    gguf_header header{version, read_gguf_metadata(cursor, pairs), {}, 0};
    const std::size_t alignment = alignment_of<format_error>(header.metadata, path);
    for (std::size_t i = 0; i < tensors; ++i) header.tensors.push_back(read_gguf_entry(cursor));
    header.data_begin = std::min(padded(cursor.position(), alignment), file.size());
    expect_different_names(header.tensors, path);
    expect_tensors_in_place(header.tensors, file.size() - header.data_begin, alignment, path);
    return header;
}

}  // namespace gptq::io::impl
