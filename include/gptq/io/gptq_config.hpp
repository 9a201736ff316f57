// The configuration of a GPTQ checkpoint: what its packed tensors do not say themselves. Reading it from all the
// places and spellings that quantizers have used, and writing it where loaders look.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/core/version.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/io/file_descriptor.hpp>
#include <gptq/io/json.hpp>
#include <gptq/io/mapped_file.hpp>
#include <gptq/io/partial_file.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq::io {

/// What configurations call a zero format.
[[nodiscard]] constexpr std::string_view checkpoint_format(zero_format zeros) noexcept {
    return zeros == zero_format::v1 ? "gptq" : "gptq_v2";
}

/// What this library signs checkpoints with.
[[nodiscard]] inline std::string this_quantizer() { return gptq::detail::text("gptq:", version_string); }

/// What modules of a mixed checkpoint may have instead of the configuration's own.
struct gptq_variant {
    unsigned bits = 4;                ///< 2, 3, 4 or 8
    std::ptrdiff_t group_size = 128;  ///< or per_row
};

/// What the layers of a GPTQ checkpoint have in common.
struct gptq_config {
    unsigned bits = 4;                    ///< 2, 3, 4 or 8
    std::ptrdiff_t group_size = 128;      ///< or per_row
    bool desc_act = false;                ///< columns were quantized by falling diag H
    bool sym = true;                      ///< all zero points are 2^(bits-1)
    zero_format zeros = zero_format::v1;  ///< checkpoint_format gptq or gptq_v2
    bool lm_head = false;                 ///< the output head is quantized too
    bool static_groups = false;           ///< groups are runs of the original columns, whatever desc_act
    bool true_sequential = false;         ///< for the record, as what follows
    double damp_percent = 0.01;           ///< λ, as factor_options has it
    std::vector<std::string> quantizer = {this_quantizer()};  ///< "program:version" of all who made the checkpoint
    /// What "dynamic" gives some modules. Its rules are regular expressions of the writer's own dialect, and are not
    /// looked at: the shapes of a module's tensors tell which of these it has.
    std::vector<gptq_variant> variants = {};
    /// Reads a v1 zero point field of all ones as 0. Writers and readers disagree about it, so that such a layer is
    /// refused otherwise, unless its writer is known.
    bool all_ones_are_zero = false;
    nlohmann::ordered_json other = nlohmann::ordered_json::object();  ///< keys that mean nothing here, to be kept
};

namespace impl {

[[nodiscard]] constexpr bool is_gptq_bits(std::int64_t bits) noexcept {
    return bits == 2 || bits == 3 || bits == 4 || bits == 8;
}
[[nodiscard]] constexpr bool is_group_size(std::int64_t size) noexcept { return size == per_row || size > 0; }
inline constexpr std::string_view gptq_bits_text = "2, 3, 4 or 8";
inline constexpr std::string_view group_size_text = "-1 (whole row) or at least 1";

}  // namespace impl

/// @throws option_error  bits or group_size that no GPTQ checkpoint has
inline void check(const gptq_config& config) {
    if (!impl::is_gptq_bits(config.bits))
        gptq::detail::fail<option_error>("gptq_config: bits is ", config.bits, ", expected ", impl::gptq_bits_text);
    if (!impl::is_group_size(config.group_size))
        gptq::detail::fail<option_error>("gptq_config: group_size is ", config.group_size, ", expected ",
                                         impl::group_size_text);
    if (!config.other.is_object()) gptq::detail::fail<option_error>("gptq_config: other is no JSON object");
}

namespace impl {

/// The field under the first of `keys` that is there; nullptr without one. null counts as absent: some writers spell
/// out what they leave to the default.
inline const ordered_json::object_t::value_type* find_field(const ordered_json::object_t& object,
                                                            std::initializer_list<const char*> keys) {
    for (const char* key : keys)
        if (const auto field = object.find(key); field != object.end() && !field->second.is_null()) return &*field;
    return nullptr;
}

/// Sets `value` to what `read` makes of that field, or leaves it.
template <class T, class Read>
void read_field(const ordered_json::object_t& object, std::initializer_list<const char*> keys, std::string_view where,
                Read read, T& value) {
    if (const auto* field = find_field(object, keys)) value = read(field->second, where, field->first);
}

inline void expect_field(const ordered_json::object_t& object, std::initializer_list<const char*> keys,
                         std::string_view where) {
    if (find_field(object, keys) == nullptr) gptq::detail::fail<format_error>(where, ": has no ", *keys.begin());
}

/// Refuses what other methods and other layouts would need.
inline void expect_readable(const ordered_json::object_t& object, std::string_view where) {
    if (const auto* method = find_field(object, {"quant_method", "method"}); method && method->second != "gptq")
        fail_value(where, method->first, method->second, "\"gptq\", the only method that is read here");
    if (const auto* type = find_field(object, {"pack_dtype"}); type && type->second != "int32")
        fail_value(where, type->first, type->second, "\"int32\"");
}

inline unsigned as_bits(const ordered_json& value, std::string_view where, std::string_view key) {
    const std::int64_t bits = as_integer(value, where, key);
    if (!is_gptq_bits(bits)) fail_value(where, key, value, gptq_bits_text);
    return static_cast<unsigned>(bits);
}

inline std::ptrdiff_t as_group_size(const ordered_json& value, std::string_view where, std::string_view key) {
    const std::int64_t size = as_integer(value, where, key);
    if (!is_group_size(size) || size > PTRDIFF_MAX) fail_value(where, key, value, group_size_text);
    return static_cast<std::ptrdiff_t>(size);
}

inline zero_format as_zero_format(const ordered_json& value, std::string_view where, std::string_view key) {
    for (const zero_format zeros : {zero_format::v1, zero_format::v2})
        if (value == checkpoint_format(zeros)) return zeros;
    fail_value(where, key, value, "\"gptq\" or \"gptq_v2\"");
}

inline std::vector<std::string> as_quantizers(const ordered_json& meta, std::string_view where, std::string_view key) {
    std::vector<std::string> quantizers;
    if (const auto* field = find_field(as_object(meta, where, key), {"quantizer"})) {
        if (field->second.is_string()) return {as_string(field->second, where, field->first)};
        if (!field->second.is_array()) fail_value(where, "meta.quantizer", field->second, "an array of strings");
        for (const ordered_json& one : field->second) quantizers.push_back(as_string(one, where, "meta.quantizer"));
    }
    return quantizers;
}

inline constexpr auto bits_keys = {"bits", "w_bit", "wbits"};
inline constexpr auto group_size_keys = {"group_size", "q_group_size"};

/// What each rule of "dynamic" gives the modules that it names; "-:" leaves them as they were.
inline std::vector<gptq_variant> as_variants(const ordered_json& dynamic, std::string_view where, std::string_view key,
                                             const gptq_variant& usual) {
    std::vector<gptq_variant> variants;
    for (const auto& [modules, settings] : as_object(dynamic, where, key)) {
        const std::string rule = gptq::detail::text(where, ": ", key, " '", modules, "'");
        const auto& object = as_object(settings, rule, "its value");
        if (modules.starts_with("-:")) continue;
        gptq_variant variant = usual;
        read_field(object, bits_keys, rule, as_bits, variant.bits);
        read_field(object, group_size_keys, rule, as_group_size, variant.group_size);
        variants.push_back(variant);
    }
    return variants;
}

/// The keys of an object but for those that are read, and written anew.
inline ordered_json without(const ordered_json::object_t& object, std::span<const std::string_view> keys) {
    ordered_json rest = ordered_json::object();
    for (const auto& [key, value] : object)
        if (std::ranges::find(keys, key) == keys.end()) rest[key] = value;
    return rest;
}

/// Adds those keys, at any depth, that are not there.
inline void add_absent(const ordered_json& from, ordered_json& to) {
    for (const auto& [key, value] : from.items())
        if (!to.contains(key))
            to[key] = value;
        else if (value.is_object() && to[key].is_object())
            add_absent(value, to[key]);
}

/// Keys that gptq_config has members for.
inline constexpr std::string_view gptq_keys[] = {"quant_method",
                                                 "method",
                                                 "bits",
                                                 "w_bit",
                                                 "wbits",
                                                 "group_size",
                                                 "q_group_size",
                                                 "desc_act",
                                                 "zero_point",
                                                 "sym",
                                                 "format",
                                                 "version",
                                                 "meta",
                                                 "lm_head",
                                                 "static_groups",
                                                 "true_sequential",
                                                 "damp_percent",
                                                 "pack_dtype",
                                                 "checkpoint_format"};

/// What is to be kept: of meta, all but who made the checkpoint.
inline ordered_json other_gptq_keys(const ordered_json::object_t& object) {
    ordered_json rest = without(object, gptq_keys);
    constexpr std::string_view quantizer[] = {"quantizer"};
    if (const auto* meta = find_field(object, {"meta"}); meta && meta->second.is_object())
        if (auto others = without(meta->second.get_ref<const ordered_json::object_t&>(), quantizer); !others.empty())
            rest["meta"] = std::move(others);
    return rest;
}

inline gptq_config parse_gptq_config(const ordered_json& value, std::string_view where) {
    const auto& object = as_object(value, where, "the quantization config");
    expect_readable(object, where);
    gptq_config config;
    expect_field(object, bits_keys, where);
    expect_field(object, group_size_keys, where);
    read_field(object, bits_keys, where, as_bits, config.bits);
    read_field(object, group_size_keys, where, as_group_size, config.group_size);
    read_field(object, {"desc_act"}, where, as_bool<ordered_json>, config.desc_act);
    read_field(object, {"zero_point"}, where, std::not_fn(as_bool<ordered_json>), config.sym);
    read_field(object, {"sym"}, where, as_bool<ordered_json>, config.sym);
    read_field(object, {"checkpoint_format", "format", "version"}, where, as_zero_format, config.zeros);
    read_field(object, {"lm_head"}, where, as_bool<ordered_json>, config.lm_head);
    read_field(object, {"static_groups"}, where, as_bool<ordered_json>, config.static_groups);
    read_field(object, {"true_sequential"}, where, as_bool<ordered_json>, config.true_sequential);
    read_field(object, {"damp_percent"}, where, as_double<ordered_json>, config.damp_percent);
    config.quantizer.clear();
    read_field(object, {"meta"}, where, as_quantizers, config.quantizer);
    if (const auto* dynamic = find_field(object, {"dynamic"}))
        config.variants = as_variants(dynamic->second, where, "dynamic", {config.bits, config.group_size});
    config.other = other_gptq_keys(object);
    return config;
}

/// Where a folder keeps its configuration: the value, and its file (and place in it) for messages.
struct config_source {
    ordered_json value;
    std::string where;
};

inline std::optional<config_source> find_config_source(const std::filesystem::path& folder) {
    const auto read = [](const std::filesystem::path& path) {
        return parse_json<ordered_json>(mapped_file(path).text(), path.string());
    };
    for (const char* name : {"quantize_config.json", "quant_config.json"})
        if (const auto path = folder / name; is_present(path)) return config_source{read(path), path.string()};
    const auto path = folder / "config.json";
    if (!is_present(path)) return std::nullopt;
    const ordered_json root = read(path);
    const auto& object = as_object(root, path.string(), "the config");
    const auto* field = find_field(object, {"quantization_config", "compression_config"});
    if (field == nullptr) return std::nullopt;
    return config_source{field->second, path.string() + ": " + field->first};
}

}  // namespace impl

/// The configuration of a model folder, or nothing when the model is not quantized. Looked for in
/// quantize_config.json, quant_config.json and config.json's quantization_config, in this order.
/// @throws format_error  file, key, found and expected; a quantization method other than GPTQ
[[nodiscard]] inline std::optional<gptq_config> find_gptq_config(const std::filesystem::path& folder) {
    const auto source = impl::find_config_source(folder);
    if (!source) return std::nullopt;
    return impl::parse_gptq_config(source->value, source->where);
}

/// The configuration of a folder that must have one.
/// @throws format_error  as find_gptq_config; the model is not quantized
[[nodiscard]] inline gptq_config read_gptq_config(const std::filesystem::path& folder) {
    const auto config = find_gptq_config(folder);
    if (!config)
        gptq::detail::fail<format_error>(folder.string(),
                                         ": is no GPTQ model: has no quantize_config.json, and no "
                                         "quantization_config in a config.json");
    return *config;
}

/// The object that loaders read. `format` repeats checkpoint_format, which different loaders spell differently.
[[nodiscard]] inline nlohmann::ordered_json to_json(const gptq_config& config) {
    check(config);
    const std::string_view format = checkpoint_format(config.zeros);
    nlohmann::ordered_json object = {{"quant_method", "gptq"},
                                     {"bits", config.bits},
                                     {"group_size", config.group_size},
                                     {"desc_act", config.desc_act},
                                     {"sym", config.sym},
                                     {"checkpoint_format", format},
                                     {"format", format},
                                     {"lm_head", config.lm_head},
                                     {"true_sequential", config.true_sequential},
                                     {"static_groups", config.static_groups},
                                     {"pack_dtype", "int32"},
                                     {"meta", {{"quantizer", config.quantizer}}}};
    // Transformers does not load a model with a value outside of this range, though it has no use for it.
    if (config.damp_percent > 0 && config.damp_percent < 1) object["damp_percent"] = config.damp_percent;
    impl::add_absent(config.other, object);
    return object;
}

namespace impl {

/// Puts a configuration into a folder's config.json, in the place of one that is there. Nothing else in it changes.
/// @throws file_error, format_error  the file is absent, or holds no object
inline void put_quantization_config(const std::filesystem::path& folder, const ordered_json& value) {
    const auto path = folder / "config.json";
    auto root = parse_json<ordered_json>(mapped_file(path).text(), path.string());
    if (!root.is_object()) fail_value(path.string(), "the config", root, "an object");
    root.erase("compression_config");  // an old name of the same
    root["quantization_config"] = value;
    write_file_atomically(path, root.dump(2) + "\n");
}

}  // namespace impl

/// Writes the configuration to both places where loaders look: quantize_config.json, and the quantization_config of
/// the folder's config.json, where there is one.
inline void write_gptq_config(const std::filesystem::path& folder, const gptq_config& config) {
    const nlohmann::ordered_json value = to_json(config);
    write_file_atomically(folder / "quantize_config.json", value.dump(2) + "\n");
    if (impl::is_present(folder / "config.json")) impl::put_quantization_config(folder, value);
}

}  // namespace gptq::io
