#include "inventory.hpp"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <gptq/core/error.hpp>
#include <gptq/gptq.hpp>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <variant>

#include "convert.hpp"

namespace llama {
namespace {

namespace io = gptq::io;
using nlohmann::ordered_json;

std::uint32_t crc32_of(std::span<const std::byte> bytes) {
    return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

std::uint32_t checksum_of(std::span<const float> weights) { return crc32_of(std::as_bytes(weights)); }

void add_tensors(std::span<const io::tensor_ref> tensors, inventory& result) {
    for (const auto& t : tensors)
        result.tensors.push_back({t.name, std::string(io::name(t.type)), t.shape, t.bytes.size(), crc32_of(t.bytes)});
}

layer_summary summary_of(const std::string& name, const std::string& format, const gptq::packed_linear& p) {
    std::vector<float> weights(p.out_features * p.in_features);
    gptq::dequantize_into(gptq::unpack(p), gptq::view_of(weights.data(), p.out_features, p.in_features));
    return {.name = name,
            .type = format,
            .out_features = p.out_features,
            .in_features = p.in_features,
            .groups = p.groups,
            .bits = p.bits,
            .sym = gptq::is_symmetric(p),
            .act_order = !gptq::groups_are_runs(p.g_idx),
            .weights = checksum_of(weights)};
}

std::string format_of(const io::quantization& how) {
    if (const auto* config = std::get_if<io::gptq_config>(&how))
        return std::string(io::checkpoint_format(config->zeros));
    return std::holds_alternative<io::awq_config>(how) ? "awq" : "compressed-tensors";
}

/// What people ask of a config.json.
ordered_json architecture_of(const std::filesystem::path& folder) {
    constexpr const char* keys[] = {"model_type",          "architectures",     "num_hidden_layers",
                                    "hidden_size",         "intermediate_size", "num_attention_heads",
                                    "num_key_value_heads", "vocab_size",        "quantization_config"};
    ordered_json description = ordered_json::object();
    const auto path = folder / "config.json";
    if (!std::filesystem::exists(path)) return description;
    const auto root = io::impl::parse_json<ordered_json>(io::mapped_file(path).text(), path.string());
    for (const char* key : keys)
        if (root.is_object() && root.contains(key)) description[key] = root[key];
    return description;
}

inventory of_folder(const std::filesystem::path& path) {
    inventory result{
        .path = path, .format = "float", .description = architecture_of(path).dump(), .tensors = {}, .layers = {}};
    if (!io::find_quantization(path)) {
        add_tensors(io::model_files::open(path).tensors(), result);
        return result;
    }
    checkpoint source = checkpoint::open(path);
    // What such a layer means is not asked here; it is only to be looked at.
    if (auto* config = std::get_if<io::gptq_config>(&source.how)) config->all_ones_are_zero = true;
    result.format = format_of(source.how);
    add_tensors(source.files.tensors(), result);
    for (const std::string& module : source.modules)
        result.layers.push_back(summary_of(module, result.format, source.load(module)));
    return result;
}

/// Codes of a block type have so many bits: Q4_K has 4.
unsigned bits_of(gptq::ggml_type type) {
    const std::string_view name = gptq::name(type);
    const auto digit = name.find_first_of("12345678");
    return name.starts_with('Q') && digit == 1 ? static_cast<unsigned>(name[1] - '0') : 0;
}

layer_summary summary_of(const io::gguf_tensor& t) {
    const std::size_t in = t.shape.back(), elements = gptq::traits(t.type).elements;
    const auto weights = io::to_floats(t);
    return {.name = t.name,
            .type = std::string(gptq::name(t.type)),
            .out_features = in == 0 ? 0 : weights.size() / in,
            .in_features = in,
            .groups = in / elements,
            .bits = bits_of(t.type),
            .sym = std::string_view(gptq::name(t.type)).ends_with("_0"),
            .act_order = false,
            .weights = checksum_of(weights)};
}

/// Metadata of one value each: lists are as long as vocabularies.
ordered_json description_of(const io::gguf& file) {
    ordered_json description = {{"version", file.version()}};
    for (const auto& [key, value] : file.metadata())
        std::visit(
            [&, &name = key]<class T>(const T& v) {
                if constexpr (std::is_same_v<T, io::gguf_array>)
                    description[name] = io::type_name(v);
                else
                    description[name] = v;
            },
            value);
    return description;
}

inventory of_gguf(const std::filesystem::path& path) {
    const auto file = io::gguf::open(path);
    inventory result{.path = path,
                     .format = "gguf",
                     .description = description_of(file).dump(-1, ' ', false, ordered_json::error_handler_t::replace),
                     .tensors = {},
                     .layers = {}};
    for (const auto& t : file.tensors()) {
        result.tensors.push_back({t.name, std::string(gptq::name(t.type)), t.shape, t.bytes.size(), crc32_of(t.bytes)});
        if (bits_of(t.type) != 0 && gptq::is_understood(t.type)) result.layers.push_back(summary_of(t));
    }
    return result;
}

inventory of_safetensors(const std::filesystem::path& path) {
    const auto file = io::safetensors::open(path);
    inventory result{.path = path,
                     .format = "safetensors",
                     .description = ordered_json(file.metadata()).dump(),
                     .tensors = {},
                     .layers = {}};
    add_tensors(file.tensors(), result);
    return result;
}

}  // namespace

std::size_t inventory::bytes() const {
    std::size_t total = 0;
    for (const auto& t : tensors) total += t.bytes;
    return total;
}

std::uint32_t inventory::checksum() const {
    ::uLong all = 0;
    for (const auto& t : tensors) all = ::crc32_combine(all, t.checksum, static_cast<::z_off_t>(t.bytes));
    return static_cast<std::uint32_t>(all);
}

inventory take_inventory(const std::filesystem::path& path) {
    if (std::filesystem::is_directory(path)) return of_folder(path);
    if (path.extension() == ".gguf") return of_gguf(path);
    if (path.extension() == ".safetensors") return of_safetensors(path);
    gptq::detail::fail<gptq::file_error>("'", path.string(),
                                         "' is no model folder, no .safetensors file and no .gguf file");
}

}  // namespace llama
