// The configuration of an AWQ checkpoint (4 bits, version GEMM): read in AWQ's own spelling and in that of model
// folders, and written in both.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/io/file_descriptor.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/json.hpp>
#include <gptq/io/partial_file.hpp>
#include <gptq/pack/awq.hpp>

namespace gptq::io {

/// What the files of an AWQ checkpoint have in common.
struct awq_config {
    std::ptrdiff_t group_size = 128;  ///< or per_row
    bool sym = false;                 ///< all zero points are 8; files call the opposite zero_point
    /// Names, or parts of them: what stays in floats.
    std::vector<std::string> modules_to_not_convert = {};
    nlohmann::ordered_json other = nlohmann::ordered_json::object();  ///< keys that mean nothing here, to be kept
};

/// @throws option_error  a group size that no checkpoint has
inline void check(const awq_config& config) {
    if (!impl::is_group_size(config.group_size))
        gptq::detail::fail<option_error>("awq_config: group_size is ", config.group_size, ", expected ",
                                         impl::group_size_text);
    if (!config.other.is_object()) gptq::detail::fail<option_error>("awq_config: other is no JSON object");
}

namespace impl {

/// Refuses what other methods and other layouts would need.
inline void expect_awq(const ordered_json::object_t& object, std::string_view where) {
    if (const auto* method = find_field(object, {"quant_method"}); method && method->second != "awq")
        fail_value(where, method->first, method->second, "\"awq\"");
    if (const auto* version = find_field(object, {"version"})) {
        std::string name = as_string(version->second, where, version->first);
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (name != "gemm")
            fail_value(where, version->first, version->second, "\"gemm\", the only layout of AWQ's that is read here");
    }
}

inline void expect_awq_bits(const ordered_json& value, std::string_view where, std::string_view key) {
    if (as_integer(value, where, key) != awq_linear::bits) fail_value(where, key, value, "4");
}

inline awq_config parse_awq_config(const ordered_json& value, std::string_view where) {
    const auto& object = as_object(value, where, "the quantization config");
    expect_awq(object, where);
    expect_field(object, bits_keys, where);
    expect_field(object, group_size_keys, where);
    const auto* width = find_field(object, bits_keys);
    expect_awq_bits(width->second, where, width->first);
    awq_config config;
    read_field(object, group_size_keys, where, as_group_size, config.group_size);
    read_field(object, {"zero_point"}, where, std::not_fn(as_bool<ordered_json>), config.sym);
    read_field(object, {"modules_to_not_convert"}, where, as_strings<ordered_json>, config.modules_to_not_convert);
    constexpr std::string_view known[] = {"quant_method", "version",      "bits",       "w_bit",
                                          "group_size",   "q_group_size", "zero_point", "modules_to_not_convert"};
    config.other = without(object, known);
    return config;
}

}  // namespace impl

/// The configuration of a model folder. Looked for where find_gptq_config looks.
/// @throws format_error  file, key, found and expected: no configuration, another method, another layout than GEMM
[[nodiscard]] inline awq_config read_awq_config(const std::filesystem::path& folder) {
    const auto source = impl::find_config_source(folder);
    if (!source)
        gptq::detail::fail<format_error>(folder.string(),
                                         ": is no AWQ model: has no quant_config.json, and no "
                                         "quantization_config in a config.json");
    return impl::parse_awq_config(source->value, source->where);
}

/// The object for config.json, which loaders read.
[[nodiscard]] inline nlohmann::ordered_json to_json(const awq_config& config) {
    check(config);
    nlohmann::ordered_json object = {
        {"quant_method", "awq"},     {"bits", awq_linear::bits}, {"group_size", config.group_size},
        {"zero_point", !config.sym}, {"version", "gemm"},        {"modules_to_not_convert", nullptr}};
    if (!config.modules_to_not_convert.empty()) object["modules_to_not_convert"] = config.modules_to_not_convert;
    impl::add_absent(config.other, object);
    return object;
}

/// Writes the configuration to both places where loaders look: AWQ's own quant_config.json, and the
/// quantization_config of the folder's config.json, where there is one.
inline void write_awq_config(const std::filesystem::path& folder, const awq_config& config) {
    const nlohmann::ordered_json value = to_json(config);
    const nlohmann::ordered_json own = {{"w_bit", value["bits"]},
                                        {"q_group_size", value["group_size"]},
                                        {"zero_point", value["zero_point"]},
                                        {"version", "GEMM"},
                                        {"modules_to_not_convert", value["modules_to_not_convert"]}};
    write_file_atomically(folder / "quant_config.json", own.dump(2) + "\n");
    if (impl::is_present(folder / "config.json")) impl::put_quantization_config(folder, value);
}

}  // namespace gptq::io
