// One quantized layer from a GPTQ checkpoint: the tensors of a module → a packed_linear. Its bits are not touched.
// Every tensor's type and shape is checked against the others, so that what is returned is safe to run.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/tensor.hpp>
#include <gptq/pack/bits.hpp>
#include <gptq/pack/groups.hpp>
#include <gptq/pack/packed_linear.hpp>
#include <gptq/pack/parameters.hpp>

namespace gptq::io {

/// What a layer's tensors are looked up in: safetensors, model_files, and look-alikes.
template <class F>
concept tensor_files = requires(const F& files, std::string_view name) {
    { files.contains(name) } -> std::convertible_to<bool>;
    { files.at(name) } -> std::convertible_to<const tensor_ref&>;
};

namespace impl {

inline void expect_type(const tensor_ref& tensor, dtype expected) {
    if (tensor.type != expected)
        gptq::detail::fail<format_error>(describe(tensor), ": is ", name(tensor.type), ", expected ", name(expected));
}

inline void expect_rank(const tensor_ref& tensor, std::size_t rank) {
    if (tensor.shape.size() != rank)
        gptq::detail::fail<format_error>(describe(tensor), ": shape is ", shape_text(tensor.shape), ", expected ", rank,
                                         rank == 1 ? " axis" : " axes");
}

/// @param why  where the expectation comes from
inline void expect_shape(const tensor_ref& tensor, std::initializer_list<std::size_t> expected, std::string_view why) {
    if (!std::ranges::equal(tensor.shape, expected))
        gptq::detail::fail<format_error>(describe(tensor), ": shape is ", shape_text(tensor.shape), ", expected ",
                                         shape_text(std::span(expected.begin(), expected.size())), " ", why);
}

/// The tensors of one module, as a checkpoint has them.
struct module_tensors {
    const tensor_ref& qweight;
    const tensor_ref& qzeros;
    const tensor_ref& scales;
    const tensor_ref* g_idx;  ///< nullptr in old checkpoints
    const tensor_ref* bias;   ///< nullptr in most layers
};

inline scale_type scale_type_of(const tensor_ref& scales) {
    switch (scales.type) {
        case dtype::F16: return scale_type::f16;
        case dtype::BF16: return scale_type::bf16;
        case dtype::F32: return scale_type::f32;
        default:
            gptq::detail::fail<format_error>(describe(scales), ": is ", name(scales.type),
                                             ", expected F16, BF16 or F32");
    }
}

inline void expect_types(const module_tensors& t) {
    for (const tensor_ref* words : {&t.qweight, &t.qzeros}) expect_type(*words, dtype::I32);
    for (const tensor_ref* matrix : {&t.qweight, &t.qzeros, &t.scales}) expect_rank(*matrix, 2);
    if (t.g_idx) {
        expect_type(*t.g_idx, dtype::I32);
        expect_rank(*t.g_idx, 1);
    }
    if (t.qweight.bytes.empty()) gptq::detail::fail<format_error>(describe(t.qweight), ": is empty");
}

inline std::size_t inputs_of(const module_tensors& t, unsigned bits) {
    return t.g_idx ? t.g_idx->shape[0] : t.qweight.shape[0] * 32 / bits;
}

/// The configuration of a module of a mixed checkpoint: that whose bits and groups its shapes have.
/// @pre  expect_types
inline gptq_config fitted_to(const module_tensors& t, gptq_config config) {
    const auto fits = [&t, out = t.qweight.shape[1]](const gptq_variant& v) {
        const std::size_t in = inputs_of(t, v.bits);
        return t.qweight.shape[0] == words_for(in, v.bits) && t.qzeros.shape[1] == words_for(out, v.bits) &&
               t.scales.shape[0] == group_count(in, v.group_size);
    };
    if (fits({config.bits, config.group_size})) return config;
    if (const auto variant = std::ranges::find_if(config.variants, fits); variant != config.variants.end()) {
        config.bits = variant->bits;
        config.group_size = variant->group_size;
    }
    return config;
}

/// A layer with its sizes, and no contents yet. All types and shapes are right after this.
inline packed_linear sized_for(const module_tensors& t, const gptq_config& config) {
    packed_linear p;
    p.bits = config.bits;
    p.zeros = config.zeros;
    p.stored_scales = scale_type_of(t.scales);
    p.out_features = t.qweight.shape[1];
    p.in_features = inputs_of(t, p.bits);
    p.groups = group_count(p.in_features, config.group_size);

    const std::string why = gptq::detail::text("(", p.out_features, " outputs, ", p.in_features, " inputs, ", p.bits,
                                               " bits, group size ", config.group_size, ")");
    expect_shape(t.qweight, {words_for(p.in_features, p.bits), p.out_features}, why);
    expect_shape(t.qzeros, {p.groups, words_for(p.out_features, p.bits)}, why);
    expect_shape(t.scales, {p.groups, p.out_features}, why);
    if (t.bias) expect_shape(*t.bias, {p.out_features}, why);
    return p;
}

template <class Word>
std::vector<Word> read_words(const tensor_ref& tensor) {
    std::vector<Word> words(tensor.bytes.size() / sizeof(Word));
    std::memcpy(words.data(), tensor.bytes.data(), words.size() * sizeof(Word));
    gptq::impl::turn_if_big_endian<Word>(std::as_writable_bytes(std::span(words)));
    return words;
}

/// The words where the file has them, or a copy where they lie across words of memory or are not the machine's own.
template <class Word>
shared_array<Word> map_words(const tensor_ref& tensor) {
    const auto* words = reinterpret_cast<const Word*>(tensor.bytes.data());
    const bool aligned = reinterpret_cast<std::uintptr_t>(words) % alignof(Word) == 0;
    if (tensor.file == nullptr || !aligned || !gptq::impl::is_little_endian) return read_words<Word>(tensor);
    return {std::span(words, tensor.bytes.size() / sizeof(Word)), tensor.file};
}

/// The group of each column. Negative entries occur, and count from the end as in Python.
inline std::vector<std::int32_t> read_g_idx(const tensor_ref& tensor, std::size_t groups) {
    auto g_idx = read_words<std::int32_t>(tensor);
    const auto count = static_cast<std::int64_t>(groups);
    for (std::size_t i = 0; i < g_idx.size(); ++i) {
        if (g_idx[i] < -count || g_idx[i] >= count)
            gptq::detail::fail<format_error>(describe(tensor), ": element ", i, " is ", g_idx[i], ", expected ", -count,
                                             " … ", count - 1);
        if (g_idx[i] < 0) g_idx[i] = static_cast<std::int32_t>(g_idx[i] + count);
    }
    return g_idx;
}

/// Groups of consecutive columns, for a checkpoint that does not store them.
inline std::vector<std::int32_t> derived_g_idx(const module_tensors& t, const packed_linear& p,
                                               const gptq_config& config) {
    if (config.desc_act && !config.static_groups && p.groups > 1)
        gptq::detail::fail<format_error>(describe(t.qweight),
                                         ": its module has no g_idx, which desc_act without static_groups needs");
    return natural_g_idx(p.in_features,
                         config.group_size == per_row ? p.in_features : static_cast<std::size_t>(config.group_size));
}

/// The place of the first zero point that is stored as all ones, and read as 0; of none, the number of zero points.
inline std::size_t first_zero_point_0(const packed_linear& p) {
    const auto zeros = gptq::impl::zeros_of(p);
    return gptq::impl::find_wrong(std::span(zeros), [](std::uint8_t z) { return z == 0; });
}

/// What a v1 field of all ones means depends on who wrote it. GPTQModel subtracts 1 from all fields of a word in one
/// subtraction, where a zero point of 0 borrows from the field above it: the same addition restores the word. The layer
/// is v2 then, which can hold the 0. For 3 bits it works field by field, modulo 8. AutoGPTQ destroys all higher fields
/// of the word; and of readers, some take such a field for 0 and some for 2^bits.
inline void settle_zeros(packed_linear& p, const tensor_ref& qzeros, const gptq_config& config) {
    if (p.zeros == zero_format::v2) return;
    const std::size_t first = first_zero_point_0(p);
    if (first == p.groups * p.out_features) return;
    const auto is_gptqmodel = [](const std::string& quantizer) { return quantizer.starts_with("gptqmodel"); };
    if (std::ranges::any_of(config.quantizer, is_gptqmodel)) {
        if (p.bits == 3) return;
        for (std::uint32_t& word : p.qzeros) word += 0xFFFFFFFFU / ((1U << p.bits) - 1U);  // 1 in every field
        p.zeros = zero_format::v2;
    } else if (!config.all_ones_are_zero) {
        gptq::detail::fail<format_error>(
            describe(qzeros), ": the zero point of output ", first % p.out_features, ", group ", first / p.out_features,
            " is stored as ", (1U << p.bits) - 1U, ", which in the format gptq (v1) stands for 0 or for ", 1U << p.bits,
            ", as the writer of the checkpoint meant it, who is not known: meta.quantizer names no gptqmodel. Save it "
            "as gptq_v2 with the program that made it, or have it read as 0 (all_ones_are_zero)");
    }
}

/// Refuses a layer for its values: its sizes are right by now, and those of scales are all that can be wrong.
template <class Layer>
void expect_consistent(const Layer& layer, const tensor_ref& scales) {
    try {
        check(layer);
    } catch (const error& e) {
        gptq::detail::fail<format_error>(describe(scales), ": ", e.what());
    }
}

inline packed_linear load_module(const module_tensors& t, const gptq_config& checkpoint) {
    check(checkpoint);
    expect_types(t);
    const gptq_config config = fitted_to(t, checkpoint);
    packed_linear p = sized_for(t, config);
    p.qweight = map_words<std::uint32_t>(t.qweight);
    p.qzeros = read_words<std::uint32_t>(t.qzeros);
    p.scales = to_floats(t.scales);
    p.g_idx = t.g_idx ? read_g_idx(*t.g_idx, p.groups) : derived_g_idx(t, p, config);
    if (t.bias) p.bias = to_floats(*t.bias);
    settle_zeros(p, t.qzeros, config);
    expect_consistent(p, t.scales);
    return p;
}

template <tensor_files Files>
[[nodiscard]] module_tensors gptq_tensors_of(const Files& files, std::string_view module) {
    const auto named = [module](std::string_view suffix) { return gptq::detail::text(module, suffix); };
    const auto optional = [&](std::string_view suffix) {
        return files.contains(named(suffix)) ? &files.at(named(suffix)) : nullptr;
    };
    return {files.at(named(".qweight")), files.at(named(".qzeros")), files.at(named(".scales")), optional(".g_idx"),
            optional(".bias")};
}

}  // namespace impl

/// Loads the layer that a checkpoint calls `module`, such as "model.layers.0.self_attn.q_proj". Its codes stay where
/// the file is mapped.
/// @param files   safetensors or model_files
/// @param config  of the same checkpoint: read_gptq_config
/// @throws format_error  file, tensor, expected and found: a tensor is absent, or has a type, a shape or a content
///                       that the others and the configuration do not allow
template <tensor_files Files>
[[nodiscard]] packed_linear load_gptq(const Files& files, std::string_view module, const gptq_config& config) {
    return impl::load_module(impl::gptq_tensors_of(files, module), config);
}

/// The configuration of one layer of a mixed checkpoint: with the bits and the group size that the layer has.
/// @throws format_error  a tensor is absent, or of another type
template <tensor_files Files>
[[nodiscard]] gptq_config config_of(const Files& files, std::string_view module, const gptq_config& config) {
    const auto tensors = impl::gptq_tensors_of(files, module);
    impl::expect_types(tensors);
    return impl::fitted_to(tensors, config);
}

}  // namespace gptq::io
