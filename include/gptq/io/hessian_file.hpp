// A Hessian's running sum as a safetensors file, so that shards of the calibration data can run anywhere and be added
// up later: load, merge, factorize. What is loaded and merged is bit for bit what would have been merged in memory.
//
//     tensor "sum_lower" [n·(n + 1)/2], F32 or F64: the lower triangle of Σ w·x·xᵀ, row after row
//     metadata "gptq_file": "hessian", "version": "1", "in_features", "tokens", "refused_tokens", "weight" (Σ w)
//
// In Python, from f = safe_open(path, "np") and n = int(f.metadata()["in_features"]), the lower triangle of H is
//     h = np.zeros((n, n)); h[np.tril_indices(n)] = f.get_tensor("sum_lower") * (2 / float(f.metadata()["weight"]))
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/one_of.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/json.hpp>
#include <gptq/io/safetensors.hpp>
#include <gptq/io/safetensors_writer.hpp>
#include <gptq/io/tensor.hpp>

namespace gptq::io {

/// A Hessian's sums are floats or doubles, as its value_type says.
template <class H>
concept sums_of_floats = requires {
    requires gptq::detail::is_one_of<typename H::value_type, float, double>;
};

/// What a Hessian shows of itself to be stored, and is made from again: gptq::hessian, of floats or of doubles.
template <class H>
concept storable_hessian = sums_of_floats<H> && requires(const H& h, std::size_t n) {
    { h.in_features() } -> std::convertible_to<std::size_t>;
    { h.tokens() } -> std::convertible_to<std::size_t>;
    { h.refused_tokens() } -> std::convertible_to<std::size_t>;
    { h.weight() } -> std::convertible_to<double>;
    { h.sum_row(n) } -> std::convertible_to<std::span<const typename H::value_type>>;
    {
        H::from_sum(n, {n, n, 1.0}, [](std::size_t, std::span<typename H::value_type>) {})
        } -> std::same_as<H>;
};

namespace impl {

inline constexpr std::string_view hessian_tensor = "sum_lower";

template <class T>
inline constexpr dtype hessian_dtype = std::is_same_v<T, float> ? dtype::F32 : dtype::F64;

[[nodiscard]] constexpr std::size_t triangle_size(std::size_t n) noexcept { return n * (n + 1) / 2; }

[[nodiscard]] inline const std::string& metadata_text(const safetensors& file, const char* key) {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end())
        gptq::detail::fail<format_error>(file.path().string(), ": has no metadata '", key, "'; not a Hessian's file?");
    return found->second;
}

inline void expect_metadata(const safetensors& file, const char* key, const char* expected) {
    if (const std::string& text = metadata_text(file, key); text != expected)
        fail_value(file.path().string(), gptq::detail::text("metadata '", key, "'"), json(text),
                   gptq::detail::text('"', expected, '"'));
}

/// The number that a text stands for, or the text itself when it stands for none.
[[nodiscard]] inline json metadata_number(const safetensors& file, const char* key) {
    const std::string& text = metadata_text(file, key);
    if (text.find_first_not_of("+-.0123456789eE") != text.npos) return text;
    json number = json::parse(text, nullptr, false);
    return number.is_discarded() ? json(text) : number;
}

[[nodiscard]] inline std::size_t metadata_count(const safetensors& file, const char* key, std::size_t least,
                                                std::uint64_t most) {
    const std::string where = file.path().string(), what = gptq::detail::text("metadata '", key, "'");
    const json number = metadata_number(file, key);
    const std::size_t count = as_size(number, where, what);
    if (count < least || count > most) fail_value(where, what, number, gptq::detail::text(least, " to ", most));
    return count;
}

/// Everything about a Hessian but its sum.
struct hessian_metadata {
    std::size_t in_features, tokens, refused;
    double weight;
};

[[nodiscard]] inline hessian_metadata read_hessian_metadata(const safetensors& file) {
    expect_metadata(file, "gptq_file", "hessian");
    expect_metadata(file, "version", "1");
    // Exact where numbers are doubles, and sums never overflow.
    constexpr std::uint64_t most_tokens = std::uint64_t{1} << 53U;
    constexpr auto half_of_size = static_cast<unsigned>(std::numeric_limits<std::size_t>::digits) / 2;
    constexpr std::size_t most_features = (std::size_t{1} << half_of_size) - 1;  // whose triangle_size is one
    const hessian_metadata m{metadata_count(file, "in_features", 1, most_features),
                             metadata_count(file, "tokens", 0, most_tokens),
                             metadata_count(file, "refused_tokens", 0, most_tokens),
                             as_double(metadata_number(file, "weight"), file.path().string(), "metadata 'weight'")};
    using each = std::numeric_limits<float>;
    const auto tokens = static_cast<double>(m.tokens);
    if (!(m.weight >= tokens * each::denorm_min() && m.weight <= tokens * each::max()))
        gptq::detail::fail<format_error>(file.path().string(), ": metadata 'weight' is ", m.weight, ", which ",
                                         m.tokens, " tokens of positive float weights cannot have");
    return m;
}

/// Elements first … first + row.size() - 1 of a tensor, as T.
template <class Stored, class T>
void read_elements(std::span<const std::byte> bytes, std::size_t first, std::span<T> row) noexcept {
    for (std::size_t i = 0; i < row.size(); ++i)
        row[i] = static_cast<T>(gptq::impl::load_little_endian<Stored>(bytes.data() + (first + i) * sizeof(Stored)));
}

/// Whether a row of the lower triangle can be one of a sum of squares.
template <class T>
[[nodiscard]] bool sane_sum(std::span<const T> row) noexcept {
    bool finite = true;
    for (const T value : row) finite = finite && std::isfinite(value);
    return finite && row.back() >= 0;
}

}  // namespace impl

/// Writes a Hessian, a row at a time: nothing of its size is allocated. The file appears under its name when it is
/// complete.
/// @throws numeric_error  the sum is not finite: names the first feature; there is no file then
/// @throws file_error     the folder is absent or not writable; another process is writing the same file
template <storable_hessian H>
void save_hessian(const std::filesystem::path& path, const H& h) {
    using value = typename H::value_type;
    const std::size_t n = h.in_features();
    const std::string name(impl::hessian_tensor);
    const std::vector<tensor_declaration> tensors = {{name, impl::hessian_dtype<value>, {impl::triangle_size(n)}}};
    safetensors_writer writer(path, tensors,
                              {{"gptq_file", "hessian"},
                               {"version", "1"},
                               {"in_features", std::to_string(n)},
                               {"tokens", std::to_string(h.tokens())},
                               {"refused_tokens", std::to_string(h.refused_tokens())},
                               {"weight", impl::json(h.weight()).dump()}});
    for (std::size_t r = 0; r < n; ++r) {
        const std::span<const value> row = h.sum_row(r);
        if (!impl::sane_sum(row))
            gptq::detail::fail<numeric_error>(
                "save_hessian: the sum is not finite, or negative on the diagonal, in row ", r);
        writer.append(name, gptq::impl::little_endian_bytes(row));
    }
    writer.finish();
}

/// Reads a Hessian that save_hessian has written, from a file that is open. A file of floats can become a Hessian in
/// double, exactly; one of doubles cannot become a Hessian in float, since it would not be what was saved.
/// @throws format_error  not a Hessian's file; numbers that are missing, or that no Hessian has
template <storable_hessian H>
[[nodiscard]] H load_hessian(const safetensors& file) {
    using value = typename H::value_type;
    const auto metadata = impl::read_hessian_metadata(file);
    const tensor_ref& sum = file.at(impl::hessian_tensor);
    const bool widened = std::is_same_v<value, double> && sum.type == dtype::F32;
    if (sum.type != impl::hessian_dtype<value> && !widened)
        gptq::detail::fail<format_error>(describe(sum), ": is ", name(sum.type), ", expected ",
                                         name(impl::hessian_dtype<value>),
                                         sum.type == dtype::F64 ? "; load it as a Hessian of doubles" : "");
    const std::size_t elements = impl::triangle_size(metadata.in_features);
    if (sum.shape != std::vector{elements})
        gptq::detail::fail<format_error>(describe(sum), ": is ", shape_text(sum.shape), ", expected [", elements,
                                         "], the lower triangle of ", metadata.in_features, " features");
    const auto read_row = [&](std::size_t r, std::span<value> row) {
        if (widened)
            impl::read_elements<float>(sum.bytes, impl::triangle_size(r), row);
        else
            impl::read_elements<value>(sum.bytes, impl::triangle_size(r), row);
        if (!impl::sane_sum<value>(row))
            gptq::detail::fail<format_error>(describe(sum), ": is not finite, or negative on the diagonal, in row ", r);
    };
    return H::from_sum(metadata.in_features, {metadata.tokens, metadata.refused, metadata.weight}, read_row);
}

/// The same for a file that is not open yet.
/// @throws file_error    the file cannot be opened
/// @throws format_error  as above
template <storable_hessian H>
[[nodiscard]] H load_hessian(const std::filesystem::path& path) {
    return load_hessian<H>(safetensors::open(path));
}

}  // namespace gptq::io
