// One quantized layer for a compressed-tensors checkpoint (pack-quantized): a layer → the tensors of a module,
// announced before the layer is quantized and filled after. Codes, zero points and scales are the layer's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/io/compressed_tensors_config.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gptq_store.hpp>
#include <gptq/io/safetensors_writer.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/compressed.hpp>

namespace gptq::io {

/// What a layer of these sizes takes in a file, known before it is quantized: for safetensors_writer.
/// @param scales  the type that scales, and a bias, are stored in
/// @throws option_error  in_features do not fill groups; bits other than 2, 4, 8, which readers lay out differently
[[nodiscard]] inline std::vector<tensor_declaration> declare_compressed(std::string_view module,
                                                                        std::size_t out_features,
                                                                        std::size_t in_features,
                                                                        const compressed_config& config,
                                                                        scale_type scales, bool has_bias) {
    check(config);
    if (32 % config.bits != 0)
        gptq::detail::fail<option_error>(
            module, ": bits is ", config.bits,
            ", expected 2, 4 or 8: readers from before May 2026 lay others out differently");
    const std::size_t groups = impl::whole_groups(module, in_features, config.group_size);
    const auto named = [module](std::string_view suffix) { return gptq::detail::text(module, suffix); };
    std::vector<tensor_declaration> tensors = {
        {named(".weight_packed"), dtype::I32, {out_features, words_for(in_features, config.bits)}},
        {named(".weight_scale"), dtype_of(scales), {out_features, groups}},
        {named(".weight_shape"), dtype::I64, {2}},
    };
    if (!config.sym)
        tensors.push_back({named(".weight_zero_point"), dtype::I32, {words_for(out_features, config.bits), groups}});
    if (config.order == column_order::dynamic_groups)
        tensors.push_back({named(".weight_g_idx"), dtype::I32, {in_features}});
    if (has_bias) tensors.push_back({named(".bias"), dtype_of(scales), {out_features}});
    return tensors;
}

namespace impl {

/// A checkpoint has one configuration for all its layers.
inline void expect_fits(std::string_view module, const compressed_linear& c, const compressed_config& config) {
    using gptq::detail::fail;
    if (c.bits != config.bits)
        fail<option_error>(module, ": has ", c.bits, " bits, expected the checkpoint's ", config.bits);
    gptq::detail::expect_equal(module, "number of groups", group_count(c.in_features, config.group_size), c.groups);
    if (c.weight_zero_point.empty() != config.sym)
        fail<option_error>(module, config.sym ? ": has zero points, but the checkpoint is symmetric"
                                              : ": has no zero points, but the checkpoint is asymmetric");
    if (!c.weight_g_idx.empty() && config.order != column_order::dynamic_groups)
        fail<option_error>(
            module,
            ": groups are scattered over the inputs (act-order), expected column_order::dynamic_groups "
            "in the checkpoint's configuration; or undo it with without_act_order where the order of inputs is free");
    expect_stored_exactly(module, c.weight_scale, c.stored_scales);
}

}  // namespace impl

/// The tensors of a layer: those that declare_compressed announced, in the same order. A bias is rounded to the type of
/// the scales.
/// @param c       to_compressed(packed, config.sym), or pack_compressed(quantized, config.sym)
/// @param config  of the checkpoint that the layer goes into
/// @throws option_error   bits, zero points or groups are not the checkpoint's; as declare_compressed
/// @throws shape_error    the number of groups is not what the checkpoint's group size makes; as gptq::check
/// @throws numeric_error  a scale that its stored type cannot hold
[[nodiscard]] inline std::vector<stored_tensor> compressed_tensors(std::string_view module, const compressed_linear& c,
                                                                   const compressed_config& config) {
    gptq::check(c);
    auto declared = declare_compressed(module, c.out_features, c.in_features, config, c.stored_scales, !c.bias.empty());
    impl::expect_fits(module, c, config);
    const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(c.out_features),
                                             static_cast<std::int64_t>(c.in_features)};
    using gptq::impl::little_endian_bytes;
    std::vector<std::vector<std::byte>> contents;
    contents.push_back(little_endian_bytes(c.weight_packed));
    contents.push_back(to_bytes(c.weight_scale, c.stored_scales));
    contents.push_back(little_endian_bytes(shape));
    if (!config.sym) contents.push_back(little_endian_bytes(c.weight_zero_point));
    if (config.order == column_order::dynamic_groups) contents.push_back(little_endian_bytes(gptq::impl::g_idx_of(c)));
    contents.push_back(to_bytes(c.bias, c.stored_scales));
    return impl::filled(std::move(declared), contents);
}

}  // namespace gptq::io
