// The configuration of a compressed-tensors checkpoint of format pack-quantized: integer weights of one kind,
// activations as they are. It has one home, quantization_config in config.json.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/json.hpp>

namespace gptq::io {

/// What a quantizer did about the order of columns.
enum class column_order {
    natural,        ///< nothing; actorder null
    static_groups,  ///< act-order that left groups of neighbouring columns: a file does not show it; "static", "weight"
    dynamic_groups,  ///< act-order with scattered groups: layers have a weight_g_idx; "group", "dynamic"
};

struct compressed_config {
    unsigned bits = 4;                ///< 2 … 8
    std::ptrdiff_t group_size = 128;  ///< strategy "group"; per_row is strategy "channel"
    bool sym = true;                  ///< zero points are not stored
    column_order order = column_order::natural;
    std::vector<std::string> targets = {"Linear"};  ///< classes, names, or "re:…": what is quantized
    std::vector<std::string> ignore = {};           ///< likewise: what of that is not
};

/// @throws option_error  bits or group_size that no checkpoint has; scattered groups in a row of one
inline void check(const compressed_config& config) {
    using gptq::detail::fail;
    if (config.bits < 2 || config.bits > 8)
        fail<option_error>("compressed_config: bits is ", config.bits, ", expected 2 … 8");
    if (!impl::is_group_size(config.group_size))
        fail<option_error>("compressed_config: group_size is ", config.group_size, ", expected ",
                           impl::group_size_text);
    if (config.order == column_order::dynamic_groups && config.group_size == per_row)
        fail<option_error>("compressed_config: dynamic_groups need a group size, found one group for the whole row");
}

namespace impl {

/// null, and objects and arrays without contents, say nothing.
inline bool says_nothing(const json& value) { return value.is_null() || (value.is_structured() && value.empty()); }

/// Refuses a key that changes what weights mean.
inline void expect_absent(const json::object_t& object, const char* key, std::string_view where,
                          std::string_view what_it_does) {
    if (const auto field = object.find(key); field != object.end() && !says_nothing(field->second))
        gptq::detail::fail<format_error>(where, ": ", key, " is set: ", what_it_does, ", which is not supported");
}

inline void expect_value(const json::object_t& object, const char* key, std::string_view where, const json& expected) {
    if (const auto* field = find_field(object, {key}); field && field->second != expected)
        fail_value(where, key, field->second, expected.dump());
}

/// What a reader of the format's own refuses too: a key that it does not know may change what weights mean.
inline void expect_known_keys(const json::object_t& weights, std::string_view where) {
    constexpr std::string_view known[] = {"num_bits",        "type",           "symmetric", "group_size", "strategy",
                                          "block_structure", "dynamic",        "actorder",  "observer",   "scale_dtype",
                                          "zp_dtype",        "observer_kwargs"};
    for (const auto& [key, value] : weights)
        if (std::ranges::find(known, key) == std::ranges::end(known))
            gptq::detail::fail<format_error>(where, ": has the key '", key, "', which is not known");
}

inline column_order as_column_order(const json& value, std::string_view where, std::string_view key) {
    if (value == "static" || value == "weight") return column_order::static_groups;
    if (value == "group" || value == "dynamic" || value == true) return column_order::dynamic_groups;
    if (value == false) return column_order::natural;
    fail_value(where, key, value, "\"static\", \"weight\", \"group\", \"dynamic\" or null");
}

inline unsigned as_compressed_bits(const json& value, std::string_view where, std::string_view key) {
    const std::int64_t bits = as_integer(value, where, key);
    if (bits < 2 || bits > 8) fail_value(where, key, value, "2 … 8");
    return static_cast<unsigned>(bits);
}

/// Strategy and group size say the same thing twice; a missing strategy follows from the size.
inline std::ptrdiff_t parse_group_size(const json::object_t& weights, std::string_view where) {
    std::ptrdiff_t size = per_row;
    read_field(weights, {"group_size"}, where, as_group_size, size);
    const auto* strategy = find_field(weights, {"strategy"});
    if (strategy == nullptr) {
        expect_field(weights, {"group_size"}, where);
        return size;
    }
    if (strategy->second != "group" && strategy->second != "channel")
        fail_value(where, "strategy", strategy->second, "\"group\" or \"channel\"");
    if ((strategy->second == "group") != (size != per_row))
        gptq::detail::fail<format_error>(where, ": strategy is ", found(strategy->second), ", but group_size is ",
                                         size);
    return size;
}

inline void parse_weights(const json& value, std::string_view where, compressed_config& config) {
    const auto& weights = as_object(value, where, "weights");
    expect_known_keys(weights, where);
    expect_value(weights, "type", where, "int");
    expect_value(weights, "dynamic", where, false);
    expect_absent(weights, "block_structure", where, "weights share scales in blocks");
    expect_field(weights, {"num_bits"}, where);
    read_field(weights, {"num_bits"}, where, as_compressed_bits, config.bits);
    read_field(weights, {"symmetric"}, where, as_bool, config.sym);
    read_field(weights, {"actorder"}, where, as_column_order, config.order);
    config.group_size = parse_group_size(weights, where);
    if (config.order == column_order::dynamic_groups && config.group_size == per_row)
        gptq::detail::fail<format_error>(where, ": actorder is \"group\", but strategy is \"channel\"");
}

/// The one group of modules that the checkpoint quantizes.
inline void parse_scheme(const json& value, std::string_view where, compressed_config& config) {
    const auto& scheme = as_object(value, where, "the group");
    expect_value(scheme, "format", where, "pack-quantized");
    expect_absent(scheme, "input_activations", where, "activations are quantized");
    expect_absent(scheme, "output_activations", where, "activations are quantized");
    expect_field(scheme, {"targets"}, where);
    read_field(scheme, {"targets"}, where, as_strings, config.targets);
    expect_field(scheme, {"weights"}, where);
    parse_weights(scheme.at("weights"), gptq::detail::text(where, ": weights"), config);
}

inline compressed_config parse_compressed_config(const json& value, std::string_view where) {
    const auto& object = as_object(value, where, "the quantization config");
    expect_field(object, {"quant_method"}, where);
    expect_value(object, "quant_method", where, "compressed-tensors");
    expect_value(object, "format", where, "pack-quantized");
    expect_value(object, "quantization_status", where, "compressed");
    expect_absent(object, "transform_config", where, "weights are rotated");
    if (const auto* sparsity = find_field(object, {"sparsity_config"}))
        expect_value(as_object(sparsity->second, where, "sparsity_config"), "format", where, "dense");
    expect_field(object, {"config_groups"}, where);
    const auto& groups = as_object(object.at("config_groups"), where, "config_groups");
    if (groups.size() != 1)
        gptq::detail::fail<format_error>(where, ": config_groups has ", groups.size(),
                                         " groups, expected 1: one kind of weights for all modules");
    compressed_config config;
    read_field(object, {"ignore"}, where, as_strings, config.ignore);
    const auto& [name, scheme] = *groups.begin();
    parse_scheme(scheme, gptq::detail::text(where, ": config_groups.", name), config);
    return config;
}

inline nlohmann::json actorder(column_order order) {
    switch (order) {
        case column_order::static_groups: return "static";
        case column_order::dynamic_groups: return "group";
        case column_order::natural: break;
    }
    return nullptr;
}

}  // namespace impl

/// The configuration of a model folder: quantization_config in its config.json.
/// @throws format_error  file, key, found and expected: no configuration, another method or format, quantized
///                       activations, several kinds of weights, a key of `weights` that is not known
[[nodiscard]] inline compressed_config read_compressed_config(const std::filesystem::path& folder) {
    const std::string path = (folder / "config.json").string();
    const auto root = impl::parse_json(mapped_file(path).text(), path);
    const auto* field = impl::find_field(impl::as_object(root, path, "the config"), {"quantization_config"});
    if (field == nullptr)
        gptq::detail::fail<format_error>(path, ": has no quantization_config: the model is not quantized");
    return impl::parse_compressed_config(field->second, path + ": quantization_config");
}

/// The object that loaders read.
[[nodiscard]] inline nlohmann::json to_json(const compressed_config& config) {
    check(config);
    const bool grouped = config.group_size != per_row;
    const nlohmann::json weights = {{"num_bits", config.bits},
                                    {"type", "int"},
                                    {"symmetric", config.sym},
                                    {"strategy", grouped ? "group" : "channel"},
                                    {"group_size", grouped ? nlohmann::json(config.group_size) : nullptr},
                                    {"actorder", impl::actorder(config.order)},
                                    {"dynamic", false}};
    const nlohmann::json group = {{"targets", config.targets},
                                  {"weights", weights},
                                  {"input_activations", nullptr},
                                  {"output_activations", nullptr}};
    return {
        {"quant_method", "compressed-tensors"},  {"format", "pack-quantized"}, {"quantization_status", "compressed"},
        {"config_groups", {{"group_0", group}}}, {"ignore", config.ignore},    {"kv_cache_scheme", nullptr}};
}

/// Writes the configuration into the folder's config.json.
/// @throws file_error, format_error  the file is absent, or holds no object
inline void write_compressed_config(const std::filesystem::path& folder, const compressed_config& config) {
    impl::put_quantization_config(folder, to_json(config));
}

}  // namespace gptq::io
