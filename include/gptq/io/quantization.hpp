// A quantized model folder, whichever of the three formats of Hugging Face folders it has: GPTQ, AWQ,
// compressed-tensors. What a program needs that runs all of them; each format's own header says what it is.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <gptq/core/error.hpp>
#include <gptq/io/awq_config.hpp>
#include <gptq/io/awq_load.hpp>
#include <gptq/io/compressed_tensors_config.hpp>
#include <gptq/io/compressed_tensors_load.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/io/json.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq::io {

/// The configuration of a quantized model.
using quantization = std::variant<gptq_config, awq_config, compressed_config>;

namespace impl {

/// AWQ's own quant_config.json names no method, but a layout of AWQ's; old files of GPTQ name neither.
inline std::string method_of(const ordered_json::object_t& object, std::string_view where) {
    if (const auto* method = find_field(object, {"quant_method", "method"}))
        return as_string(method->second, where, method->first);
    const auto* version = find_field(object, {"version"});
    return version && version->second != "gptq" && version->second != "gptq_v2" ? "awq" : "gptq";
}

inline quantization parse_quantization(const ordered_json& value, std::string_view where) {
    const std::string method = method_of(as_object(value, where, "the quantization config"), where);
    if (method == "gptq") return parse_gptq_config(value, where);
    if (method == "awq") return parse_awq_config(value, where);
    if (method == "compressed-tensors") return parse_compressed_config(value, where);
    gptq::detail::fail<format_error>(where, ": quant_method is \"", method,
                                     "\", expected \"gptq\", \"awq\" or \"compressed-tensors\"");
}

}  // namespace impl

/// How a model folder is quantized, or nothing when it is not. Looked for in quantize_config.json, quant_config.json
/// and config.json, in this order.
/// @throws format_error  file, key, found and expected; another method
[[nodiscard]] inline std::optional<quantization> find_quantization(const std::filesystem::path& folder) {
    const auto source = impl::find_config_source(folder);
    if (!source) return std::nullopt;
    return impl::parse_quantization(source->value, source->where);
}

/// How a folder is quantized that must be.
/// @throws format_error  as find_quantization; the model is not quantized
[[nodiscard]] inline quantization read_quantization(const std::filesystem::path& folder) {
    auto how = find_quantization(folder);
    if (!how)
        gptq::detail::fail<format_error>(folder.string(),
                                         ": is not a quantized model: has no quantize_config.json or "
                                         "quant_config.json, and no quantization_config in a config.json");
    return *std::move(how);
}

/// Whether the tensors of a module are packed ones.
template <tensor_files Files>
[[nodiscard]] bool is_quantized(const Files& files, std::string_view module, const quantization& how) {
    const bool compressed = std::holds_alternative<compressed_config>(how);
    return files.contains(gptq::detail::text(module, compressed ? ".weight_packed" : ".qweight"));
}

/// Loads one layer, exactly: as load_gptq, load_awq or load_compressed, which is turned into GPTQ's layout.
/// @throws format_error  as these
/// @throws option_error  compressed-tensors of 5, 6 or 7 bits, which GPTQ has no layout for
template <tensor_files Files>
[[nodiscard]] packed_linear load_quantized(const Files& files, std::string_view module, const quantization& how) {
    if (const auto* gptq = std::get_if<gptq_config>(&how)) return load_gptq(files, module, *gptq);
    if (const auto* awq = std::get_if<awq_config>(&how)) return load_awq(files, module, *awq);
    return to_gptq(load_compressed(files, module, std::get<compressed_config>(how)));
}

/// The object that loaders of the format read.
[[nodiscard]] inline nlohmann::ordered_json to_json(const quantization& how) {
    return std::visit([](const auto& config) { return to_json(config); }, how);
}

}  // namespace gptq::io
