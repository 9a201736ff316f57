// The configuration of a GPTQ checkpoint: what its packed tensors do not say themselves. Reading it from all the
// places and spellings that quantizers have used, and writing it where loaders look.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/grid/uniform_grid.hpp>
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
[[nodiscard]] inline std::string this_quantizer() {
    return gptq::detail::text("gptq:", GPTQ_VERSION_MAJOR, ".", GPTQ_VERSION_MINOR, ".", GPTQ_VERSION_PATCH);
}

struct gptq_config {
    unsigned bits = 4;                    ///< 2, 3, 4 or 8
    std::ptrdiff_t group_size = 128;      ///< or per_row
    bool desc_act = false;                ///< columns were quantized by falling diag H
    bool sym = true;                      ///< all zero points are 2^(bits-1)
    zero_format zeros = zero_format::v1;  ///< checkpoint_format gptq or gptq_v2
    bool lm_head = false;                 ///< the output head is quantized too
    bool static_groups = false;           ///< groups are runs of the original columns, whatever desc_act
    bool true_sequential = false;         ///< for the record, as what follows
    double damp_percent = 0.01;
    std::vector<std::string> quantizer = {this_quantizer()};  ///< "program:version" of all who made the checkpoint
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
}

namespace impl {

/// The field under the first of `keys` that is there; nullptr without one. null counts as absent: some writers spell
/// out what they leave to the default.
inline const json::object_t::value_type* find_field(const json::object_t& object,
                                                    std::initializer_list<const char*> keys) {
    for (const char* key : keys)
        if (const auto field = object.find(key); field != object.end() && !field->second.is_null()) return &*field;
    return nullptr;
}

/// Sets `value` to what `read` makes of that field, or leaves it.
template <class T, class Read>
void read_field(const json::object_t& object, std::initializer_list<const char*> keys, std::string_view where,
                Read read, T& value) {
    if (const auto* field = find_field(object, keys)) value = read(field->second, where, field->first);
}

inline void expect_field(const json::object_t& object, std::initializer_list<const char*> keys,
                         std::string_view where) {
    if (find_field(object, keys) == nullptr) gptq::detail::fail<format_error>(where, ": has no ", *keys.begin());
}

/// Refuses what other methods and other layouts would need.
inline void expect_readable(const json::object_t& object, std::string_view where) {
    if (const auto* method = find_field(object, {"quant_method", "method"}); method && method->second != "gptq")
        fail_value(where, method->first, method->second, "\"gptq\", the only method that is read here");
    if (const auto* type = find_field(object, {"pack_dtype"}); type && type->second != "int32")
        fail_value(where, type->first, type->second, "\"int32\"");
    if (const auto* dynamic = find_field(object, {"dynamic"}))
        for (const auto& [modules, settings] : as_object(dynamic->second, where, "dynamic"))
            if (!modules.starts_with("-:"))  // which are modules left as they were; their tensors tell
                gptq::detail::fail<format_error>(where, ": dynamic has settings of their own for modules '", modules,
                                                 "', which is not supported");
}

inline unsigned as_bits(const json& value, std::string_view where, std::string_view key) {
    const std::int64_t bits = as_integer(value, where, key);
    if (!is_gptq_bits(bits)) fail_value(where, key, value, gptq_bits_text);
    return static_cast<unsigned>(bits);
}

inline std::ptrdiff_t as_group_size(const json& value, std::string_view where, std::string_view key) {
    const std::int64_t size = as_integer(value, where, key);
    if (!is_group_size(size) || size > PTRDIFF_MAX) fail_value(where, key, value, group_size_text);
    return static_cast<std::ptrdiff_t>(size);
}

inline zero_format as_zero_format(const json& value, std::string_view where, std::string_view key) {
    for (const zero_format zeros : {zero_format::v1, zero_format::v2})
        if (value == checkpoint_format(zeros)) return zeros;
    fail_value(where, key, value, "\"gptq\" or \"gptq_v2\"");
}

inline std::vector<std::string> as_quantizers(const json& meta, std::string_view where, std::string_view key) {
    std::vector<std::string> quantizers;
    if (const auto* field = find_field(as_object(meta, where, key), {"quantizer"})) {
        if (field->second.is_string()) return {as_string(field->second, where, field->first)};
        if (!field->second.is_array()) fail_value(where, "meta.quantizer", field->second, "an array of strings");
        for (const json& one : field->second) quantizers.push_back(as_string(one, where, "meta.quantizer"));
    }
    return quantizers;
}

inline gptq_config parse_gptq_config(const json& value, std::string_view where) {
    const auto& object = as_object(value, where, "the quantization config");
    expect_readable(object, where);
    gptq_config config;
    const auto bits = {"bits", "w_bit", "wbits"};
    const auto group_size = {"group_size", "q_group_size"};
    expect_field(object, bits, where);
    expect_field(object, group_size, where);
    read_field(object, bits, where, as_bits, config.bits);
    read_field(object, group_size, where, as_group_size, config.group_size);
    read_field(object, {"desc_act"}, where, as_bool, config.desc_act);
    read_field(object, {"zero_point"}, where, std::not_fn(as_bool), config.sym);
    read_field(object, {"sym"}, where, as_bool, config.sym);
    read_field(object, {"checkpoint_format", "format", "version"}, where, as_zero_format, config.zeros);
    read_field(object, {"lm_head"}, where, as_bool, config.lm_head);
    read_field(object, {"static_groups"}, where, as_bool, config.static_groups);
    read_field(object, {"true_sequential"}, where, as_bool, config.true_sequential);
    read_field(object, {"damp_percent"}, where, as_double, config.damp_percent);
    config.quantizer.clear();
    read_field(object, {"meta"}, where, as_quantizers, config.quantizer);
    return config;
}

/// Where a folder keeps its configuration: the value, and its file (and place in it) for messages.
struct config_source {
    json value;
    std::string where;
};

inline std::optional<config_source> find_config_source(const std::filesystem::path& folder) {
    const auto read = [](const std::filesystem::path& path) {
        return parse_json(mapped_file(path).text(), path.string());
    };
    for (const char* name : {"quantize_config.json", "quant_config.json"})
        if (const auto path = folder / name; is_present(path)) return config_source{read(path), path.string()};
    const auto path = folder / "config.json";
    if (!is_present(path)) return std::nullopt;
    const json root = read(path);
    const auto* field = find_field(as_object(root, path.string(), "the config"), {"quantization_config"});
    if (field == nullptr) return std::nullopt;
    return config_source{field->second, path.string() + ": quantization_config"};
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
[[nodiscard]] inline nlohmann::json to_json(const gptq_config& config) {
    check(config);
    const std::string_view format = checkpoint_format(config.zeros);
    nlohmann::json object = {{"quant_method", "gptq"},
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
    return object;
}

namespace impl {

/// Puts a configuration into a folder's config.json. Nothing else in it changes but the order of its keys.
/// @throws file_error, format_error  the file is absent, or holds no object
inline void put_quantization_config(const std::filesystem::path& folder, const json& value) {
    const auto path = folder / "config.json";
    auto root = parse_json(mapped_file(path).text(), path.string());
    if (!root.is_object()) fail_value(path.string(), "the config", root, "an object");
    root["quantization_config"] = value;
    write_file_atomically(path, root.dump(2) + "\n");
}

}  // namespace impl

/// Writes the configuration to both places where loaders look: quantize_config.json, and the quantization_config of
/// the folder's config.json, where there is one.
inline void write_gptq_config(const std::filesystem::path& folder, const gptq_config& config) {
    const nlohmann::json value = to_json(config);
    write_file_atomically(folder / "quantize_config.json", value.dump(2) + "\n");
    if (impl::is_present(folder / "config.json")) impl::put_quantization_config(folder, value);
}

}  // namespace gptq::io
