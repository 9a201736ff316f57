// The configuration of a compressed-tensors checkpoint of format pack-quantized: integer weights of one kind,
// activations as they are. It has one home, quantization_config in config.json.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/json.hpp>

namespace gptq::io {

/// What a quantizer did about the order of columns.
enum class column_order {
    natural,        ///< nothing; actorder null
    static_groups,  ///< act-order that left groups of neighbouring columns: a file does not show it; "static", "weight"
    dynamic_groups,  ///< act-order with scattered groups: layers have a weight_g_idx; "group", "dynamic"
};

/// What the layers of a compressed-tensors checkpoint have in common.
struct compressed_config {
    unsigned bits = 4;                              ///< 2 … 8
    std::ptrdiff_t group_size = 128;                ///< strategy "group"; per_row is strategy "channel"
    bool sym = true;                                ///< zero points are not stored
    column_order order = column_order::natural;     ///< what act-order left behind
    std::vector<std::string> targets = {"Linear"};  ///< classes, names, or "re:…": what is quantized
    std::vector<std::string> ignore = {};           ///< likewise: what of that is not
    /// Of a mixed checkpoint, the other groups of modules: bits, group_size, sym, order and targets. Which group a
    /// module belongs to is told by the shapes of its tensors.
    std::vector<compressed_config> variants = {};
    nlohmann::ordered_json other = nlohmann::ordered_json::object();  ///< keys that mean nothing here, to be kept
};

/// @throws option_error  bits or group_size that no checkpoint has; scattered groups in a row of one
inline void check(const compressed_config& config) {
    using gptq::detail::fail;
    if (config.bits < 2 || config.bits > 8)
        fail<option_error>("compressed_config: bits is ", config.bits, ", expected 2 … 8");
    if (!impl::is_group_size(config.group_size))
        fail<option_error>("compressed_config: group_size is ", config.group_size, ", expected ",
                           impl::group_size_text);
    if (!config.other.is_object()) fail<option_error>("compressed_config: other is no JSON object");
    if (config.order == column_order::dynamic_groups && config.group_size == per_row)
        fail<option_error>("compressed_config: dynamic_groups need a group size, found one group for the whole row");
}

namespace impl {

/// null, and objects and arrays without contents, say nothing.
inline bool says_nothing(const ordered_json& value) {
    return value.is_null() || (value.is_structured() && value.empty());
}

/// Refuses a key that changes what weights mean.
inline void expect_absent(const ordered_json::object_t& object, const char* key, std::string_view where,
                          std::string_view what_it_does) {
    if (const auto field = object.find(key); field != object.end() && !says_nothing(field->second))
        gptq::detail::fail<format_error>(where, ": ", key, " is set: ", what_it_does, ", which is not supported");
}

inline void expect_value(const ordered_json::object_t& object, const char* key, std::string_view where,
                         const ordered_json& expected) {
    if (const auto* field = find_field(object, {key}); field && field->second != expected)
        fail_value(where, key, field->second, expected.dump());
}

/// What a reader of the format's own refuses too: a key that it does not know may change what weights mean.
inline void expect_known_keys(const ordered_json::object_t& weights, std::string_view where) {
    constexpr std::string_view known[] = {"num_bits",        "type",           "symmetric", "group_size", "strategy",
                                          "block_structure", "dynamic",        "actorder",  "observer",   "scale_dtype",
                                          "zp_dtype",        "observer_kwargs"};
    for (const auto& [key, value] : weights)
        if (std::ranges::find(known, key) == std::ranges::end(known))
            gptq::detail::fail<format_error>(where, ": has the key '", key, "', which is not known");
}

inline column_order as_column_order(const ordered_json& value, std::string_view where, std::string_view key) {
    if (value == "static" || value == "weight") return column_order::static_groups;
    if (value == "group" || value == "dynamic" || value == true) return column_order::dynamic_groups;
    if (value == false) return column_order::natural;
    fail_value(where, key, value, "\"static\", \"weight\", \"group\", \"dynamic\" or null");
}

inline unsigned as_compressed_bits(const ordered_json& value, std::string_view where, std::string_view key) {
    const std::int64_t bits = as_integer(value, where, key);
    if (bits < 2 || bits > 8) fail_value(where, key, value, "2 … 8");
    return static_cast<unsigned>(bits);
}

/// Strategy and group size say the same thing twice; a missing strategy follows from the size.
inline std::ptrdiff_t parse_group_size(const ordered_json::object_t& weights, std::string_view where) {
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

inline void parse_weights(const ordered_json& value, std::string_view where, compressed_config& config) {
    const auto& weights = as_object(value, where, "weights");
    expect_known_keys(weights, where);
    expect_value(weights, "type", where, "int");
    expect_value(weights, "dynamic", where, false);
    expect_absent(weights, "block_structure", where, "weights share scales in blocks");
    expect_field(weights, {"num_bits"}, where);
    read_field(weights, {"num_bits"}, where, as_compressed_bits, config.bits);
    read_field(weights, {"symmetric"}, where, as_bool<ordered_json>, config.sym);
    read_field(weights, {"actorder"}, where, as_column_order, config.order);
    config.group_size = parse_group_size(weights, where);
    if (config.order == column_order::dynamic_groups && config.group_size == per_row)
        gptq::detail::fail<format_error>(where, ": actorder is \"group\", but strategy is \"channel\"");
}

/// One group of modules that are quantized alike.
inline compressed_config parse_scheme(const ordered_json& value, std::string_view where) {
    const auto& scheme = as_object(value, where, "the group");
    expect_value(scheme, "format", where, "pack-quantized");
    expect_absent(scheme, "input_activations", where, "activations are quantized");
    expect_absent(scheme, "output_activations", where, "activations are quantized");
    expect_field(scheme, {"targets"}, where);
    expect_field(scheme, {"weights"}, where);
    compressed_config config;
    read_field(scheme, {"targets"}, where, as_strings<ordered_json>, config.targets);
    parse_weights(scheme.at("weights"), gptq::detail::text(where, ": weights"), config);
    return config;
}

/// All groups: the first, and the others as its variants.
inline compressed_config parse_groups(const ordered_json& value, std::string_view where) {
    const auto& groups = as_object(value, where, "config_groups");
    if (groups.empty()) gptq::detail::fail<format_error>(where, ": config_groups is empty");
    std::vector<compressed_config> configs;
    for (const auto& [name, scheme] : groups)
        configs.push_back(parse_scheme(scheme, gptq::detail::text(where, ": config_groups.", name)));
    compressed_config config = std::move(configs.front());
    config.variants.assign(std::make_move_iterator(configs.begin() + 1), std::make_move_iterator(configs.end()));
    return config;
}

inline compressed_config parse_compressed_config(const ordered_json& value, std::string_view where) {
    const auto& object = as_object(value, where, "the quantization config");
    expect_field(object, {"quant_method"}, where);
    expect_value(object, "quant_method", where, "compressed-tensors");
    expect_value(object, "format", where, "pack-quantized");
    expect_value(object, "quantization_status", where, "compressed");
    expect_absent(object, "transform_config", where, "weights are rotated");
    if (const auto* sparsity = find_field(object, {"sparsity_config"}))
        expect_value(as_object(sparsity->second, where, "sparsity_config"), "format", where, "dense");
    expect_field(object, {"config_groups"}, where);
    compressed_config config = parse_groups(object.at("config_groups"), where);
    read_field(object, {"ignore"}, where, as_strings<ordered_json>, config.ignore);
    constexpr std::string_view known[] = {"quant_method", "format", "quantization_status", "config_groups", "ignore"};
    config.other = without(object, known);
    return config;
}

inline nlohmann::ordered_json actorder(column_order order) {
    switch (order) {
        case column_order::static_groups: return "static";
        case column_order::dynamic_groups: return "group";
        case column_order::natural: break;
    }
    return nullptr;
}

}  // namespace impl

/// The configuration of a model folder: quantization_config in its config.json, which older writers call
/// compression_config.
/// @throws format_error  file, key, found and expected: no configuration, another method or format, quantized
///                       activations
[[nodiscard]] inline compressed_config read_compressed_config(const std::filesystem::path& folder) {
    const auto source = impl::find_config_source(folder);
    if (!source)
        gptq::detail::fail<format_error>((folder / "config.json").string(),
                                         ": has no quantization_config: the model is not quantized");
    return impl::parse_compressed_config(source->value, source->where);
}

/// The object that loaders read.
[[nodiscard]] inline nlohmann::ordered_json to_json(const compressed_config& config) {
    check(config);
    if (!config.variants.empty())
        gptq::detail::fail<option_error>("compressed_config: is of a mixed checkpoint, which is not written");
    const bool grouped = config.group_size != per_row;
    const nlohmann::ordered_json weights = {
        {"num_bits", config.bits},
        {"type", "int"},
        {"symmetric", config.sym},
        {"strategy", grouped ? "group" : "channel"},
        {"group_size", grouped ? nlohmann::ordered_json(config.group_size) : nullptr},
        {"actorder", impl::actorder(config.order)},
        {"dynamic", false}};
    const nlohmann::ordered_json group = {{"targets", config.targets},
                                          {"weights", weights},
                                          {"input_activations", nullptr},
                                          {"output_activations", nullptr}};
    nlohmann::ordered_json object = {
        {"quant_method", "compressed-tensors"},  {"format", "pack-quantized"}, {"quantization_status", "compressed"},
        {"config_groups", {{"group_0", group}}}, {"ignore", config.ignore},    {"kv_cache_scheme", nullptr}};
    impl::add_absent(config.other, object);
    return object;
}

/// Writes the configuration into the folder's config.json.
/// @throws file_error, format_error  the file is absent, or holds no object
inline void write_compressed_config(const std::filesystem::path& folder, const compressed_config& config) {
    impl::put_quantization_config(folder, to_json(config));
}

}  // namespace gptq::io
