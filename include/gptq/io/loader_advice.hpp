// Which programs load a quantized layer, and what keeps the others from it. The tables hold what the loaders' sources
// demanded in 2025 and 2026; what is not known of a loader is not held against a layer.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq::io {

/// Group sizes that a loader takes: powers of two from `least` to `most`, or multiples of `multiple_of`.
struct group_sizes {
    bool whole_row = true;        ///< also -1
    std::size_t least = 1;        ///< of the powers of two
    std::size_t most = SIZE_MAX;  ///< of the powers of two
    std::size_t multiple_of = 0;  ///< 0: powers of two only
    bool all_inputs = false;      ///< also the number of inputs
    bool short_last = false;      ///< the inputs need not be a multiple
};

/// Which layers with act-order a loader takes.
enum class act_order_support {
    any,                                ///< all
    none,                               ///< none
    static_groups_and_true_sequential,  ///< those whose configuration says both
};

/// All bits of a set of widths.
inline constexpr unsigned any_width = ~0U;

/// What a loader, or one of its kernels, accepts.
struct loader {
    std::string_view name;                                 ///< "vLLM (Marlin)"
    unsigned widths;                                       ///< bit b stands for b bits
    unsigned asymmetric = any_width;                       ///< of these, the widths of asymmetric grids
    group_sizes groups = {};                               ///< that it takes
    std::size_t in_multiple = 1;                           ///< what divides in_features
    std::size_t out_multiple = 1;                          ///< what divides out_features
    bool out_fills_words = false;                          ///< a row of qzeros has no bits to spare
    act_order_support act_order = act_order_support::any;  ///< that it takes
    bool v2_zeros = true;                                  ///< it takes zero points of gptq_v2
    bool f16_only = false;                                 ///< it computes in f16, whatever scales are
};

namespace impl {

[[nodiscard]] constexpr unsigned widths(std::initializer_list<unsigned> all) noexcept {
    unsigned set = 0;
    for (const unsigned width : all) set |= 1U << width;
    return set;
}

inline constexpr group_sizes any_groups{.multiple_of = 1};
inline constexpr group_sizes unknown_groups{.multiple_of = 1, .short_last = true};
inline constexpr group_sizes marlin_groups{.least = 32, .most = 128};

}  // namespace impl

// clang-format off
/// Mixtures of experts have demands of their own on hidden and intermediate sizes, which are not in here.
inline constexpr loader gptq_loaders[] = {
    {.name = "vLLM (Marlin)", .widths = impl::widths({4, 8}), .asymmetric = 0, .groups = impl::marlin_groups,
     .in_multiple = 128, .out_multiple = 64},
    {.name = "vLLM (gptq)", .widths = impl::widths({2, 3, 4, 8}), .groups = impl::any_groups, .out_fills_words = true,
     .f16_only = true},
    {.name = "vLLM (CPU)", .widths = impl::widths({4}), .groups = {.multiple_of = 2}, .in_multiple = 32, .out_multiple = 32},
    {.name = "SGLang (Marlin)", .widths = impl::widths({4, 8}), .asymmetric = 0, .groups = impl::marlin_groups,
     .in_multiple = 128, .out_multiple = 64},
    {.name = "SGLang (gptq)", .widths = impl::widths({2, 3, 4, 8}), .groups = impl::any_groups, .out_fills_words = true},
    {.name = "SGLang (CPU)", .widths = impl::widths({4}), .groups = impl::unknown_groups,
     .act_order = act_order_support::static_groups_and_true_sequential, .v2_zeros = false},
    {.name = "TGI (Marlin)", .widths = impl::widths({4, 8}), .asymmetric = 0, .groups = impl::marlin_groups, .v2_zeros = false},
    {.name = "TGI (ExLlama)", .widths = impl::widths({4}), .groups = impl::any_groups,
     .act_order = act_order_support::none, .v2_zeros = false},
    {.name = "TGI (Triton)", .widths = impl::widths({2, 4, 8}), .groups = impl::any_groups, .v2_zeros = false},
    {.name = "ExLlamaV2", .widths = impl::widths({4}), .in_multiple = 32, .out_multiple = 32},
    {.name = "GPTQModel (torch)", .widths = impl::widths({2, 3, 4, 5, 6, 7, 8}),
     .groups = {.least = 16, .most = 1024, .all_inputs = true, .short_last = true}},
    {.name = "GPTQModel (Marlin)", .widths = impl::widths({4, 8}), .asymmetric = 0, .groups = impl::marlin_groups,
     .out_multiple = 64},
    {.name = "GPTQModel (Machete)", .widths = impl::widths({4, 8}), .groups = {.least = 64, .most = 128},
     .in_multiple = 64, .out_multiple = 128},
    {.name = "GPTQModel (Triton)", .widths = impl::widths({2, 4, 8}), .groups = {.least = 16, .most = 1024},
     .in_multiple = 32, .out_multiple = 32},
    {.name = "GPTQModel (CPU, int4)", .widths = impl::widths({4}), .groups = {.whole_row = false, .least = 16, .most = 128}},
    {.name = "GPTQModel (CPU, int8)", .widths = impl::widths({2, 4, 8}), .groups = {.least = 16, .most = 128}},
    {.name = "AutoGPTQ (Marlin file)", .widths = impl::widths({4}), .asymmetric = 0, .groups = {.least = 128, .most = 128},
     .in_multiple = 128, .out_multiple = 256, .act_order = act_order_support::none},
    {.name = "TensorRT-LLM", .widths = impl::widths({4}), .groups = impl::unknown_groups,
     .act_order = act_order_support::none, .v2_zeros = false},
    {.name = "llama.cpp (converter)", .widths = impl::widths({2, 4, 8}), .groups = impl::unknown_groups, .out_fills_words = true},
};

/// Of AWQ checkpoints (GEMM).
inline constexpr loader awq_loaders[] = {
    {.name = "vLLM (AWQ-Marlin)", .widths = impl::widths({4}), .groups = impl::marlin_groups, .in_multiple = 128, .out_multiple = 64},
    {.name = "vLLM (AWQ)", .widths = impl::widths({4}), .groups = {.whole_row = false, .multiple_of = 1}, .f16_only = true},
    {.name = "AutoAWQ", .widths = impl::widths({4}), .groups = impl::any_groups, .out_multiple = 32},
};

/// Of compressed-tensors checkpoints (pack-quantized).
inline constexpr loader compressed_tensors_loaders[] = {
    {.name = "vLLM (Marlin)", .widths = impl::widths({4, 8}), .asymmetric = impl::widths({4}), .groups = impl::marlin_groups,
     .in_multiple = 128, .out_multiple = 64},
    {.name = "vLLM (ExLlama)", .widths = impl::widths({4, 8}), .asymmetric = 0, .groups = impl::any_groups, .out_fills_words = true},
    {.name = "llama.cpp (converter)", .widths = impl::widths({4, 8}), .groups = {.whole_row = false, .multiple_of = 1}},
};
// clang-format on

/// A layer as loaders see it.
struct layer_facts {
    std::size_t out_features = 0;         ///< rows of Ŵ
    std::size_t in_features = 0;          ///< columns of Ŵ
    gptq_config config;                   ///< of its checkpoint; of one in another format, what GPTQ would say of it
    scale_type scales = scale_type::f16;  ///< as files store them
};

/// Why a loader does not take a layer: all that it minds, in one sentence each.
struct refusal {
    std::string_view loader;           ///< its name
    std::vector<std::string> reasons;  ///< "out_features is 96, expected a multiple of 64"
};

namespace impl {

/// "2, 3, 4 or 8"
[[nodiscard]] inline std::string either(const std::vector<std::string>& words) {
    std::string out;
    for (std::size_t i = 0; i < words.size(); ++i)
        out += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
    return out;
}

[[nodiscard]] inline std::string widths_text(unsigned widths) {
    std::vector<std::string> all;
    for (unsigned width = 2; width <= 8; ++width)
        if ((widths >> width & 1U) != 0) all.push_back(std::to_string(width));
    return either(all);
}

[[nodiscard]] inline std::string sizes_text(const group_sizes& groups) {
    std::vector<std::string> all;
    if (groups.whole_row) all.emplace_back("-1");
    if (groups.multiple_of != 0) {
        all.push_back("a multiple of " + std::to_string(groups.multiple_of));
    } else if (groups.most == SIZE_MAX) {
        all.emplace_back("a power of two");
    } else {
        for (std::size_t size = groups.least; size <= groups.most; size *= 2) all.push_back(std::to_string(size));
    }
    if (groups.all_inputs) all.emplace_back("all inputs");
    return either(all);
}

[[nodiscard]] constexpr bool takes(const group_sizes& groups, const layer_facts& layer) noexcept {
    if (layer.config.group_size == per_row) return groups.whole_row;
    const auto size = static_cast<std::size_t>(layer.config.group_size);
    if (groups.all_inputs && size == layer.in_features) return true;
    if (groups.multiple_of != 0) return size % groups.multiple_of == 0;
    return std::has_single_bit(size) && size >= groups.least && size <= groups.most;
}

[[nodiscard]] inline bool takes(act_order_support support, const gptq_config& config) noexcept {
    switch (support) {
        case act_order_support::any: return true;
        case act_order_support::none: return !config.desc_act;
        case act_order_support::static_groups_and_true_sequential: break;
    }
    return !config.desc_act || (config.static_groups && config.true_sequential);
}

[[nodiscard]] inline std::vector<std::string> reasons_against(const layer_facts& layer, const loader& who) {
    using gptq::detail::text;
    std::vector<std::string> reasons;
    const auto demand = [&reasons](bool met, const auto&... parts) {
        if (!met) reasons.push_back(text(parts...));
    };
    const gptq_config& config = layer.config;
    const auto size = config.group_size == per_row ? layer.in_features : static_cast<std::size_t>(config.group_size);
    demand((who.widths >> config.bits & 1U) != 0, "bits is ", config.bits, ", expected ", widths_text(who.widths));
    demand(config.sym || (who.asymmetric >> config.bits & 1U) != 0, "the grid is asymmetric, expected a symmetric one");
    demand(takes(who.groups, layer), "group_size is ", config.group_size, ", expected ", sizes_text(who.groups));
    demand(who.groups.short_last || layer.in_features % size == 0, "in_features is ", layer.in_features,
           ", expected a multiple of the group size ", size);
    demand(layer.in_features % who.in_multiple == 0, "in_features is ", layer.in_features, ", expected a multiple of ",
           who.in_multiple);
    demand(layer.out_features % who.out_multiple == 0, "out_features is ", layer.out_features,
           ", expected a multiple of ", who.out_multiple);
    const unsigned in_words = config.bits == 3 ? 32 : 32 / config.bits;
    demand(!who.out_fills_words || layer.out_features % in_words == 0, "out_features is ", layer.out_features,
           ", expected a multiple of ", in_words, ", which fill words of zero points");
    demand(takes(who.act_order, config), who.act_order == act_order_support::none
                                             ? "desc_act is set, expected no act-order"
                                             : "desc_act is set, expected static_groups and true_sequential with it");
    demand(who.v2_zeros || config.zeros == zero_format::v1, "zero points are stored as gptq_v2, expected gptq");
    demand(!who.f16_only || layer.scales == scale_type::f16, "scales are ", name(dtype_of(layer.scales)),
           ", expected F16, the only type that it computes in");
    return reasons;
}

}  // namespace impl

/// The loaders that do not take a layer, and why.
/// @param loaders  of checkpoints of its format: gptq_loaders, awq_loaders or compressed_tensors_loaders
/// @throws option_error  bits or group_size that no checkpoint has
[[nodiscard]] inline std::vector<refusal> refusals(const layer_facts& layer,
                                                   std::span<const loader> loaders = gptq_loaders) {
    check(layer.config);
    std::vector<refusal> all;
    for (const loader& who : loaders)
        if (auto reasons = impl::reasons_against(layer, who); !reasons.empty())
            all.push_back({who.name, std::move(reasons)});
    return all;
}

}  // namespace gptq::io
