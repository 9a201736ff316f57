// One quantized layer from a compressed-tensors checkpoint (pack-quantized): the tensors of a module → a packed_linear,
// or the codes themselves where GPTQ has no layout for their width. Nothing is rounded.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/io/compressed_tensors_config.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/io/tensor.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/compressed.hpp>
#include <gptq/pack/groups.hpp>

namespace gptq::io {

namespace impl {

/// The tensors of one module, as a checkpoint has them.
struct compressed_module {
    const tensor_ref& packed;
    const tensor_ref& scale;
    const tensor_ref& shape;
    const tensor_ref* zero_point;  ///< nullptr when symmetric
    const tensor_ref* g_idx;       ///< nullptr without act-order
    const tensor_ref* bias;        ///< nullptr in most layers
};

/// weight_shape: what weight_packed cannot say, since its last words may have room for more inputs.
inline std::vector<std::int64_t> read_weight_shape(const tensor_ref& shape) {
    expect_type(shape, dtype::I64);
    expect_shape(shape, {2}, "(outputs and inputs)");
    return read_words<std::int64_t>(shape);
}

/// Files from before May 2026 put whole codes of 3, 5, 6 and 7 bits into a word, and left its highest bits unused.
inline void expect_dense(const tensor_ref& packed, std::size_t in_features, unsigned bits) {
    const std::size_t in_a_word = 32 / bits, words = (in_features + in_a_word - 1) / in_a_word;
    if (packed.shape[1] == words && words != words_for(in_features, bits))
        gptq::detail::fail<format_error>(describe(packed), ": has ", words, " words a row, expected ",
                                         words_for(in_features, bits), " for ", in_features, " codes of ", bits,
                                         " bits: it seems to be packed with unused bits, as before May 2026; save the "
                                         "model again with a newer compressed-tensors");
}

/// The configuration of a module of a mixed checkpoint: that whose bits, groups and zero points its tensors have.
inline const compressed_config& fitted_to(const compressed_module& t, const compressed_config& config) {
    if (config.variants.empty()) return config;
    for (const tensor_ref* matrix : {&t.packed, &t.scale}) expect_rank(*matrix, 2);
    const auto inputs = static_cast<std::uint64_t>(read_weight_shape(t.shape)[1]);
    const auto fits = [&](const compressed_config& c) {
        if (inputs == 0 || inputs > t.packed.shape[1] * 32 / c.bits) return false;
        const auto in = static_cast<std::size_t>(inputs);
        return t.packed.shape[1] == words_for(in, c.bits) && t.scale.shape[1] == group_count(in, c.group_size) &&
               c.sym == (t.zero_point == nullptr);
    };
    if (fits(config)) return config;
    const auto variant = std::ranges::find_if(config.variants, fits);
    return variant == config.variants.end() ? config : *variant;
}

/// A layer with its sizes, and no contents yet. All types and shapes are right after this.
inline compressed_linear sized_for(const compressed_module& t, const compressed_config& config) {
    using gptq::detail::fail;
    expect_type(t.packed, dtype::I32);
    for (const tensor_ref* matrix : {&t.packed, &t.scale}) expect_rank(*matrix, 2);
    if (t.packed.bytes.empty()) fail<format_error>(describe(t.packed), ": is empty");
    const auto shape = read_weight_shape(t.shape);
    const std::size_t most = t.packed.shape[1] * 32 / config.bits;
    if (shape[0] < 1 || !std::in_range<std::size_t>(shape[0]) || shape[1] < 1 || std::cmp_greater(shape[1], most))
        fail<format_error>(describe(t.shape), ": says ", shape[0], " x ", shape[1],
                           ", expected at least 1 x 1 and at most ", t.packed.shape[0], " x ", most,
                           ", for which there are words");
    compressed_linear c;
    c.bits = config.bits;
    c.stored_scales = scale_type_of(t.scale);
    c.out_features = static_cast<std::size_t>(shape[0]);
    c.in_features = static_cast<std::size_t>(shape[1]);
    const std::size_t size = config.group_size == per_row ? c.in_features : static_cast<std::size_t>(config.group_size);
    if (c.in_features % size != 0)
        fail<format_error>(describe(t.shape), ": says ", c.in_features,
                           " inputs, expected a multiple of the group size ", size);
    c.groups = c.in_features / size;

    const std::string why = gptq::detail::text("(", c.out_features, " outputs, ", c.in_features, " inputs, ", c.bits,
                                               " bits, group size ", config.group_size, ")");
    expect_dense(t.packed, c.in_features, c.bits);
    expect_shape(t.packed, {c.out_features, words_for(c.in_features, c.bits)}, why);
    expect_shape(t.scale, {c.out_features, c.groups}, why);
    if (t.bias) expect_shape(*t.bias, {c.out_features}, why);
    if (t.zero_point) {
        expect_type(*t.zero_point, dtype::I32);
        expect_shape(*t.zero_point, {words_for(c.out_features, c.bits), c.groups}, why);
    }
    if (t.g_idx) {
        expect_type(*t.g_idx, dtype::I32);
        expect_shape(*t.g_idx, {c.in_features}, why);
    }
    return c;
}

/// Refuses tensors that the configuration does not speak of, and the lack of those that it does.
inline void expect_tensors_of(const compressed_module& t, const compressed_config& config) {
    using gptq::detail::fail;
    if (config.sym && t.zero_point)
        fail<format_error>(describe(*t.zero_point), ": is there, but the configuration says symmetric");
    if (!config.sym && !t.zero_point)
        fail<format_error>(describe(t.packed),
                           ": its module has no weight_zero_point, but the configuration says asymmetric");
    if (config.order == column_order::dynamic_groups && !t.g_idx)
        fail<format_error>(describe(t.packed),
                           ": its module has no weight_g_idx, but the configuration says actorder group");
}

/// The group of each column, or nothing. The format's own readers take a -1 anywhere for a tensor that nobody filled.
inline std::vector<std::int32_t> read_compressed_g_idx(const tensor_ref& tensor, const compressed_linear& c) {
    auto g_idx = read_words<std::int32_t>(tensor);
    if (std::ranges::find(g_idx, -1) != g_idx.end()) return {};
    for (std::size_t i = 0; i < g_idx.size(); ++i)
        if (g_idx[i] < 0 || static_cast<std::size_t>(g_idx[i]) >= c.groups)
            gptq::detail::fail<format_error>(describe(tensor), ": element ", i, " is ", g_idx[i], ", expected 0 … ",
                                             c.groups - 1, ", or -1 for none");
    if (!gptq::impl::groups_are_equal(g_idx, c.groups))
        gptq::detail::fail<format_error>(describe(tensor), ": gives groups unequal numbers of inputs, expected ",
                                         c.in_features / c.groups, " in each");
    return g_idx;
}

inline compressed_linear load_compressed_module(const compressed_module& t, const compressed_config& checkpoint) {
    io::check(checkpoint);
    const compressed_config& config = fitted_to(t, checkpoint);
    expect_tensors_of(t, config);
    compressed_linear c = sized_for(t, config);
    c.weight_packed = map_words<std::uint32_t>(t.packed);
    c.weight_scale = to_floats(t.scale);
    if (t.zero_point) c.weight_zero_point = read_words<std::uint32_t>(*t.zero_point);
    if (t.g_idx) c.weight_g_idx = read_compressed_g_idx(*t.g_idx, c);
    if (t.bias) c.bias = to_floats(*t.bias);
    expect_consistent(c, t.scale);
    return c;
}

}  // namespace impl

/// Loads the layer that a checkpoint calls `module`, in its own layout: to_gptq makes it run, unpack gives its codes.
/// @param files   safetensors or model_files
/// @param config  of the same checkpoint: read_compressed_config
/// @throws format_error  file, tensor, expected and found: a tensor is absent, or has a type, a shape or a content
///                       that the others and the configuration do not allow
template <tensor_files Files>
[[nodiscard]] compressed_linear load_compressed(const Files& files, std::string_view module,
                                                const compressed_config& config) {
    const auto named = [module](std::string_view suffix) { return gptq::detail::text(module, suffix); };
    const auto optional = [&](std::string_view suffix) {
        return files.contains(named(suffix)) ? &files.at(named(suffix)) : nullptr;
    };
    return impl::load_compressed_module(
        {files.at(named(".weight_packed")), files.at(named(".weight_scale")), files.at(named(".weight_shape")),
         optional(".weight_zero_point"), optional(".weight_g_idx"), optional(".bias")},
        config);
}

}  // namespace gptq::io
