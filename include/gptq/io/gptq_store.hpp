// One quantized layer for a GPTQ checkpoint: a packed_linear → the tensors of a module, announced before the layer is
// quantized and filled after. Codes, zero points and scales are written as they are.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/safetensors_writer.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/packed_linear.hpp>
#include <gptq/pack/parameters.hpp>

namespace gptq::io {

namespace impl {

/// Refuses to round a scale: what a file holds is what the solver compensated for.
inline void expect_stored_exactly(std::string_view module, std::span<const float> scales, scale_type type) {
    for (const float scale : scales)
        if (!gptq::impl::holds(type, scale))
            gptq::detail::fail<numeric_error>(module, ": a scale of ", scale, " is not a value of ",
                                              name(dtype_of(type)));
}

/// Groups of a layer in a format that needs all to be of one size.
inline std::size_t whole_groups(std::string_view module, std::size_t in_features, std::ptrdiff_t group_size) {
    if (group_size != per_row && in_features % static_cast<std::size_t>(group_size) != 0)
        gptq::detail::fail<option_error>(module, ": in_features is ", in_features,
                                         ", expected a multiple of the group size ", group_size);
    return group_count(in_features, group_size);
}

/// A checkpoint has one configuration for all its layers.
inline void expect_fits(std::string_view module, const packed_linear& p, const gptq_config& config) {
    using gptq::detail::fail;
    if (p.bits != config.bits)
        fail<option_error>(module, ": has ", p.bits, " bits, expected the checkpoint's ", config.bits);
    if (p.zeros != config.zeros)
        fail<option_error>(module, ": its zero points are packed as ", checkpoint_format(p.zeros),
                           ", expected the checkpoint's ", checkpoint_format(config.zeros));
    gptq::detail::expect_equal(module, "number of groups", group_count(p.in_features, config.group_size), p.groups);
    expect_stored_exactly(module, p.scales, p.stored_scales);
}

}  // namespace impl

/// What a layer of these sizes takes in a file, known before it is quantized: for safetensors_writer.
/// @param scales  the type that scales, and a bias, are stored in
[[nodiscard]] inline std::vector<tensor_declaration> declare_gptq(std::string_view module, std::size_t out_features,
                                                                  std::size_t in_features, const gptq_config& config,
                                                                  scale_type scales, bool has_bias) {
    check(config);
    const std::size_t groups = group_count(in_features, config.group_size);
    const auto named = [module](std::string_view suffix) { return gptq::detail::text(module, suffix); };
    std::vector<tensor_declaration> tensors = {
        {named(".qweight"), dtype::I32, {words_for(in_features, config.bits), out_features}},
        {named(".qzeros"), dtype::I32, {groups, words_for(out_features, config.bits)}},
        {named(".scales"), dtype_of(scales), {groups, out_features}},
        {named(".g_idx"), dtype::I32, {in_features}},
    };
    if (has_bias) tensors.push_back({named(".bias"), dtype_of(scales), {out_features}});
    return tensors;
}

/// A tensor and its bytes as a file holds them.
struct stored_tensor {
    tensor_declaration declaration;  ///< for the writer that the bytes go to
    std::vector<std::byte> bytes;    ///< row-major, little-endian
};

namespace impl {

/// What was declared, filled in order. Contents beyond the last declaration belong to tensors that a layer lacks.
inline std::vector<stored_tensor> filled(std::vector<tensor_declaration> declared,
                                         std::span<std::vector<std::byte>> contents) {
    std::vector<stored_tensor> tensors;
    tensors.reserve(declared.size());
    for (auto& declaration : declared) tensors.push_back({std::move(declaration), std::move(contents[tensors.size()])});
    return tensors;
}

}  // namespace impl

/// The tensors of a layer: those that declare_gptq announced, in the same order. A bias is
/// rounded to the type of the scales.
/// @param config  of the checkpoint that the layer goes into
/// @throws option_error   bits or zero format are not the checkpoint's
/// @throws shape_error    the number of groups is not what the checkpoint's group size makes; as gptq::check
/// @throws numeric_error  a scale that its stored type cannot hold
[[nodiscard]] inline std::vector<stored_tensor> gptq_tensors(std::string_view module, const packed_linear& p,
                                                             const gptq_config& config) {
    gptq::check(p);
    impl::expect_fits(module, p, config);
    using gptq::impl::little_endian_bytes;
    std::vector<std::byte> contents[] = {little_endian_bytes(p.qweight), little_endian_bytes(p.qzeros),
                                         to_bytes(p.scales, p.stored_scales), little_endian_bytes(p.g_idx),
                                         to_bytes(p.bias, p.stored_scales)};
    return impl::filled(declare_gptq(module, p.out_features, p.in_features, config, p.stored_scales, !p.bias.empty()),
                        contents);
}

}  // namespace gptq::io
