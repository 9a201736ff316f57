#include "gguf_names.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <string_view>

#include <gptq/core/error.hpp>

namespace llama {
namespace {

using name_set = std::set<std::string, std::less<>>;

/// Modules that have weights, and may have a bias.
name_set module_names(const config& shape) {
    name_set result;
    if (!shape.tied_embeddings) result.insert(head_name);
    for (std::size_t i = 0; i < shape.layers; ++i)
        for (const named_projection& p : projections) result.insert(layer_prefix(i) + p.name);
    return result;
}

/// Tensors that belong to no module.
name_set plain_names(const config& shape) {
    name_set result = {embedding_name, final_norm_name};
    for (std::size_t i = 0; i < shape.layers; ++i)
        for (const char* norm : {attention_norm_name, mlp_norm_name}) result.insert(layer_prefix(i) + norm);
    return result;
}

/// The tensors of a module, whatever format it is in.
bool is_part_of_module(std::string_view part) {
    constexpr std::array<std::string_view, 11> parts = {
        "weight",        "bias",         "qweight",           "qzeros",       "scales",       "g_idx",
        "weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx",
    };
    return std::ranges::find(parts, part) != parts.end();
}

/// What llama.cpp does without: frequencies that follow from the configuration, and a copy of the embedding.
bool is_redundant(const config& shape, std::string_view name) {
    return name.ends_with(".rotary_emb.inv_freq") ||
           (shape.tied_embeddings && name.starts_with(head_name + std::string(".")));
}

}  // namespace

std::string gguf_layer_prefix(std::size_t index) { return gptq::detail::text("blk.", index, "."); }

std::vector<std::size_t> gguf_row_order(const config& shape, const gguf_projection& p) {
    if (p.rotated_heads == nullptr) return {};
    const std::size_t heads = shape.*p.rotated_heads;
    return gptq::llama_row_order(heads * shape.head_dim, heads);
}

void expect_gguf_tensors(const model_source& source) {
    const name_set modules = module_names(source.shape), plain = plain_names(source.shape);
    for (const auto& tensor : source.files.tensors()) {
        const std::string_view name = tensor.name;
        const std::size_t dot = std::min(name.rfind('.'), name.size());
        const bool is_of_module =
            modules.contains(name.substr(0, dot)) && is_part_of_module(name.substr(std::min(dot + 1, name.size())));
        if (!is_of_module && !plain.contains(name) && !is_redundant(source.shape, name))
            gptq::detail::fail<gptq::option_error>(gptq::io::describe(tensor),
                                                   ": llama.cpp's architecture 'llama' has no such tensor");
    }
}

}  // namespace llama
