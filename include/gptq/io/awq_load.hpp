// One quantized layer from an AWQ checkpoint: the tensors of a module → a packed_linear, exactly.
// Every tensor's type and shape is checked against the others, so that what is returned is safe to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/io/awq_config.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/io/tensor.hpp>
#include <gptq/pack/awq.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq::io {

namespace impl {

struct awq_tensors_of_module {
    const tensor_ref& qweight;
    const tensor_ref& qzeros;
    const tensor_ref& scales;
    const tensor_ref* bias;  ///< nullptr in most layers
};

/// A layer with its sizes, and no contents yet. All types and shapes are right after this.
inline awq_linear sized_for(const awq_tensors_of_module& t, const awq_config& config) {
    for (const tensor_ref* words : {&t.qweight, &t.qzeros}) expect_type(*words, dtype::I32);
    for (const tensor_ref* matrix : {&t.qweight, &t.qzeros, &t.scales}) expect_rank(*matrix, 2);
    if (t.qweight.bytes.empty()) gptq::detail::fail<format_error>(describe(t.qweight), ": is empty");
    awq_linear a;
    a.stored_scales = scale_type_of(t.scales);
    a.in_features = t.qweight.shape[0];
    a.out_features = 8 * t.qweight.shape[1];
    const std::size_t size = config.group_size == per_row ? a.in_features : static_cast<std::size_t>(config.group_size);
    if (a.in_features % size != 0)
        gptq::detail::fail<format_error>(describe(t.qweight), ": has ", a.in_features,
                                         " rows, expected a multiple of the group size ", size);
    a.groups = a.in_features / size;
    const std::string why = gptq::detail::text("(", a.out_features, " outputs, ", a.in_features, " inputs, group size ",
                                               config.group_size, ")");
    expect_shape(t.qzeros, {a.groups, a.out_features / 8}, why);
    expect_shape(t.scales, {a.groups, a.out_features}, why);
    if (t.bias) expect_shape(*t.bias, {a.out_features}, why);
    return a;
}

inline packed_linear load_awq_module(const awq_tensors_of_module& t, const awq_config& config) {
    io::check(config);
    awq_linear a = sized_for(t, config);
    a.qweight = map_words<std::uint32_t>(t.qweight);
    a.qzeros = read_words<std::uint32_t>(t.qzeros);
    a.scales = to_floats(t.scales);
    if (t.bias) a.bias = to_floats(*t.bias);
    expect_consistent(a, t.scales);
    return to_gptq(a);
}

}  // namespace impl

/// Loads the layer that a checkpoint calls `module`: zero points become v1, or v2 where one of them is 0.
/// @param files   safetensors or model_files
/// @param config  of the same checkpoint: read_awq_config
/// @throws format_error  file, tensor, expected and found: a tensor is absent, or has a type, a shape or a content
///                       that the others and the configuration do not allow
template <tensor_files Files>
[[nodiscard]] packed_linear load_awq(const Files& files, std::string_view module, const awq_config& config) {
    const auto named = [module](std::string_view suffix) { return gptq::detail::text(module, suffix); };
    const tensor_ref* bias = files.contains(named(".bias")) ? &files.at(named(".bias")) : nullptr;
    return impl::load_awq_module(
        {files.at(named(".qweight")), files.at(named(".qzeros")), files.at(named(".scales")), bias}, config);
}

}  // namespace gptq::io
