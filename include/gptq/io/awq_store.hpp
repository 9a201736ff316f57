// One quantized layer for an AWQ checkpoint: a packed_linear → the tensors of a module, announced before the layer is
// quantized and filled after. Codes, zero points and scales are the layer's own, or the layer is refused.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/io/awq_config.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gptq_store.hpp>
#include <gptq/io/safetensors_writer.hpp>
#include <gptq/pack/awq.hpp>
#include <gptq/pack/groups.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq::io {

/// What a layer of these sizes takes in a file, known before it is quantized: for safetensors_writer.
/// @param scales  the type that scales, and a bias, are stored in; AWQ's own loader expects f16
/// @throws option_error  out_features do not fill words, or in_features do not fill groups
[[nodiscard]] inline std::vector<tensor_declaration> declare_awq(std::string_view module, std::size_t out_features,
                                                                 std::size_t in_features, const awq_config& config,
                                                                 scale_type scales, bool has_bias) {
    check(config);
    if (out_features % 8 != 0)
        gptq::detail::fail<option_error>(module, ": out_features is ", out_features,
                                         ", expected a multiple of 8, which fill a word of AWQ");
    const std::size_t groups = impl::whole_groups(module, in_features, config.group_size);
    const auto named = [module](std::string_view suffix) { return gptq::detail::text(module, suffix); };
    std::vector<tensor_declaration> tensors = {
        {named(".qweight"), dtype::I32, {in_features, out_features / 8}},
        {named(".qzeros"), dtype::I32, {groups, out_features / 8}},
        {named(".scales"), dtype_of(scales), {groups, out_features}},
    };
    if (has_bias) tensors.push_back({named(".bias"), dtype_of(scales), {out_features}});
    return tensors;
}

/// The tensors of a layer: those that declare_awq announced, in the same order. A bias is rounded to the type of the
/// scales.
/// @param config  of the checkpoint that the layer goes into
/// @throws option_error   AWQ cannot hold the layer (see to_awq); config.sym, and a zero point is not 8
/// @throws shape_error    the number of groups is not what the checkpoint's group size makes; as gptq::check
/// @throws numeric_error  a scale that its stored type cannot hold
[[nodiscard]] inline std::vector<stored_tensor> awq_tensors(std::string_view module, const packed_linear& p,
                                                            const awq_config& config) {
    const awq_linear a = to_awq(p);
    auto declared = declare_awq(module, a.out_features, a.in_features, config, a.stored_scales, !a.bias.empty());
    gptq::detail::expect_equal(module, "number of groups", group_count(a.in_features, config.group_size), a.groups);
    impl::expect_stored_exactly(module, a.scales, a.stored_scales);
    if (config.sym && !is_symmetric(p))
        gptq::detail::fail<option_error>(module, ": a zero point is not 8, as sym of the checkpoint says of all");
    using gptq::impl::little_endian_bytes;
    std::vector<std::byte> contents[] = {little_endian_bytes(a.qweight), little_endian_bytes(a.qzeros),
                                         to_bytes(a.scales, a.stored_scales), to_bytes(a.bias, a.stored_scales)};
    return impl::filled(std::move(declared), contents);
}

}  // namespace gptq::io
