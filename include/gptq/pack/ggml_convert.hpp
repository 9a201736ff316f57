// Between uniform grids and llama.cpp's blocks of 32 weights, without rounding: what a block stands for is, weight for
// weight, what the layer stood for. Where no block type can, the layer is refused, never approximated.
//
// One rule decides. A block holds d·c with whole numbers c in a range around 0, and a layer's weights are
// scale·(code - zero):
//
//     Q4_0  -8 … 7        symmetric 4 bits; 2 and 3 bits with any zero point
//     Q5_0  -16 … 15      4 bits with any zero point; symmetric 5 bits
//     Q8_0  -128 … 127    5, 6 and 7 bits with any zero point; symmetric 8 bits
//
// Q4_1 and Q5_1 hold d·code + m, which is the layer where the f16 m is exactly -scale·zero; of a weight 0, only the
// sign may differ. Scales must be f16 values, and the 32 columns of a block must share one.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/one_of.hpp>
#include <gptq/core/past_cache.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/pack/block_layer.hpp>
#include <gptq/pack/ggml_blocks.hpp>
#include <gptq/pack/ggml_type.hpp>
#include <gptq/pack/groups.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq {

/// The two forms of a layer on a uniform grid.
template <class L>
concept uniform_layer = detail::is_one_of<L, packed_linear, quantized<uniform_grid>>;

inline namespace GPTQ_ISA {

namespace impl {

/// What code - zero may be, or is.
struct code_range {
    int least;
    int most;

    [[nodiscard]] constexpr bool within(code_range other) const noexcept {
        return other.least <= least && most <= other.most;
    }
};

/// What a block type without minimum holds.
template <class Block>
inline constexpr code_range range_of{-static_cast<int>(Block::zero), static_cast<int>(Block::zero) - 1};

/// Bounds of code - zero that the zero points alone give.
[[nodiscard]] inline code_range range_by_zeros(const block_parameters& p) noexcept {
    const auto [least, most] = std::ranges::minmax(p.zeros);
    return {-int{most}, (1 << p.bits) - 1 - int{least}};
}

/// code - zero over the whole layer, and 0.
template <class Layer>
[[nodiscard]] code_range range_in(const Layer& layer, const block_parameters& p) {
    std::array<std::int16_t, q4_0_block::elements> least{}, most{};  // by the place in a block: such a loop vectorizes
    for_each_block(layer, [&](std::size_t output, std::size_t block, const ggml_codes& codes) {
        const std::uint8_t zero = p.zeros[p.index(output, block)];
        for (std::size_t j = 0; j < codes.size(); ++j) {
            const auto level = static_cast<std::int16_t>(codes[j] - zero);
            least[j] = std::min(least[j], level);
            most[j] = std::max(most[j], level);
        }
    });
    return {std::ranges::min(least), std::ranges::max(most)};
}

/// What a code of 0 stands for; the product is exact.
[[nodiscard]] constexpr float minimum(f16 scale, std::uint8_t zero) noexcept {
    return -to_float(scale) * static_cast<float>(zero);
}

/// The place of the first minimum that is no f16; where all are, the number of them. All are looked at before one is
/// looked for: such a loop vectorizes.
[[nodiscard]] inline std::size_t first_inexact_min(const block_parameters& p) noexcept {
    std::uint32_t any = 0;
    for (std::size_t s = 0; s < p.scales.size(); ++s)
        any |= static_cast<std::uint32_t>(!is_f16(minimum(p.scales[s], p.zeros[s])));
    if (any == 0) return p.scales.size();
    std::size_t s = 0;
    while (is_f16(minimum(p.scales[s], p.zeros[s]))) ++s;
    return s;
}

/// [groups, out]
[[nodiscard]] inline std::vector<f16> minima(const block_parameters& p) {
    std::vector<f16> result(p.scales.size());
    for (std::size_t s = 0; s < result.size(); ++s) result[s] = as_f16(minimum(p.scales[s], p.zeros[s]));
    return result;
}

template <class Block, class Layer>
[[nodiscard]] bool is_exact(Block, const Layer& layer, const block_parameters& p) {
    if constexpr (Block::has_min)
        return p.bits <= Block::bits && first_inexact_min(p) == p.scales.size();
    else
        return range_by_zeros(p).within(range_of<Block>) || range_in(layer, p).within(range_of<Block>);
}

/// Why is_exact is false.
template <class Block, class Layer>
[[nodiscard]] std::string obstacle(Block, const Layer& layer, const block_parameters& p) {
    if constexpr (Block::has_min) {
        if (p.bits > Block::bits) return detail::text("its codes have ", Block::bits, " bits, the layer's ", p.bits);
        const std::size_t s = first_inexact_min(p);
        return detail::text("-scale·zero of output ", s % p.out_features, ", group ", s / p.out_features, " is ",
                            minimum(p.scales[s], p.zeros[s]), ", which is no f16");
    } else {
        const code_range found = range_in(layer, p), expected = range_of<Block>;
        return detail::text("code - zero is ", found.least, " … ", found.most, ", expected ", expected.least, " … ",
                            expected.most);
    }
}

/// Calls f with the block type that `type` names.
template <class F>
decltype(auto) visit_code_block(ggml_type type, std::string_view who, F&& f) {
    switch (type) {
        case ggml_type::q4_0: return f(q4_0_block{});
        case ggml_type::q4_1: return f(q4_1_block{});
        case ggml_type::q5_0: return f(q5_0_block{});
        case ggml_type::q5_1: return f(q5_1_block{});
        case ggml_type::q8_0: return f(q8_0_block{});
        default:
            detail::fail<option_error>(who, ": ", name(type),
                                       " is no uniform grid, expected Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0");
    }
}

template <class Layer>
[[nodiscard]] ggml_type smallest_exact(const Layer& layer, const block_parameters& p, std::string_view who) {
    for (const ggml_type type : {ggml_type::q4_0, ggml_type::q4_1, ggml_type::q5_0, ggml_type::q5_1, ggml_type::q8_0})
        if (visit_code_block(type, who, [&](auto block) { return is_exact(block, layer, p); })) return type;
    detail::fail<option_error>(who, ": no block type holds this layer exactly: for Q8_0, ",
                               obstacle(q8_0_block{}, layer, p), "; quantize with 7 bits, or symmetrically");
}

/// The codes of a block from those of a layer, whose zero points may be others. Modulo 256.
[[nodiscard]] inline ggml_codes shifted(ggml_codes codes, std::uint8_t shift) noexcept {
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(code + shift);
    return codes;
}

/// Writes the blocks of a run of codes.
/// @param m  what a code of 0 stands for, [groups, out], where the type stores it
template <class Block>
void encode_run(Block block, std::span<const std::uint8_t> run, std::size_t output, std::size_t first,
                const block_parameters& p, std::span<const f16> m, std::byte* out) {
    for (std::size_t b = 0; b < run.size() / block.elements; ++b) {
        const auto codes = load_as<ggml_codes>(&run[b * block.elements]);
        const std::size_t s = p.index(output, first + b);
        if constexpr (Block::has_min)
            encode_block(block, codes, {p.scales[s], m[s]}, out + b * block.bytes);
        else
            encode_block(block, shifted(codes, static_cast<std::uint8_t>(block.zero - p.zeros[s])), {p.scales[s], {}},
                         out + b * block.bytes);
    }
}

/// Rows of codes become one stream of blocks, which caches put together. Tiles of a packed layer do not: many of these
/// go past the caches, each run as a whole.
template <class Block, class Layer>
void encode_layer(Block block, const Layer& layer, const block_parameters& p, std::span<std::byte> out) {
    const std::vector<f16> m = Block::has_min ? minima(p) : std::vector<f16>();
    const std::size_t pitch = p.group_of_block.size() * block.bytes;
    const bool past_cache =
        std::same_as<Layer, packed_linear> && out.size() >= beyond_caches && fits_past_cache(out.data(), pitch);
    for_each_run(layer, [&](std::size_t output, std::size_t first, std::span<const std::uint8_t> run) {
        std::byte* place = out.data() + output * pitch + first * block.bytes;
        if (!past_cache) return encode_run(block, run, output, first, p, m, place);
        alignas(64) std::byte made[run_codes / block.elements * block.bytes];
        encode_run(block, run, output, first, p, m, made);
        copy_past_cache(made, place, run.size() / block.elements * block.bytes);
    });
    if (past_cache) finish_past_cache();
}

}  // namespace impl

/// The block type that holds a layer exactly and takes the fewest bytes.
/// @throws option_error  none does: a scale that f16 cannot hold, groups that blocks cannot follow (act-order), or
///                       8-bit codes too far from their zero points; what to do instead
/// @throws shape_error, numeric_error  the layer is inconsistent
template <uniform_layer Layer>
[[nodiscard]] ggml_type exact_ggml_type(const Layer& layer) {
    return impl::smallest_exact(layer, impl::block_parameters_of(layer, "exact_ggml_type"), "exact_ggml_type");
}

/// The smallest block type that holds every layer on this grid, solved without act-order or with static groups: for
/// files whose tensors are announced before the layers are solved.
/// @throws option_error  there is none; what to change
[[nodiscard]] inline ggml_type exact_ggml_type(const uniform_grid& grid) {
    using detail::fail;
    constexpr std::string_view who = "exact_ggml_type: ";
    grid.check();
    if (grid.group_size != per_row && grid.group_size % static_cast<std::ptrdiff_t>(q4_0_block::elements) != 0)
        fail<option_error>(who, "group_size is ", grid.group_size, ", expected a multiple of 32 or -1 (whole row)");
    if (grid.scales != scale_type::f16) fail<option_error>(who, "scales are not f16, as those of blocks are");
    const int maxq = static_cast<int>(grid.maxq()), middle = (maxq + 1) / 2;
    const auto range = grid.sym ? impl::code_range{-middle, middle - 1} : impl::code_range{-maxq, maxq};
    if (range.within(impl::range_of<q4_0_block>)) return ggml_type::q4_0;
    if (range.within(impl::range_of<q5_0_block>)) return ggml_type::q5_0;
    if (range.within(impl::range_of<q8_0_block>)) return ggml_type::q8_0;
    fail<option_error>(who,
                       "no block type holds every asymmetric layer of 8 bits; quantize with 7 bits, or "
                       "symmetrically");
}

/// A layer as blocks, row after row of in_features / 32 blocks: the bytes of a GGUF tensor of shape
/// [out_features, in_features]. A bias is a tensor of its own, and not in them.
/// @param type  exact_ggml_type(layer), or a larger one
/// @throws option_error  the type cannot hold the layer exactly: why, and which can; as exact_ggml_type
/// @throws shape_error, numeric_error  the layer is inconsistent
/// @cost   of the order of a copy
template <uniform_layer Layer>
[[nodiscard]] std::vector<std::byte> to_ggml(const Layer& layer, ggml_type type) {
    constexpr std::string_view who = "to_ggml";
    return impl::visit_code_block(type, who, [&](auto block) {
        const impl::block_parameters p = impl::block_parameters_of(layer, who);
        if (!impl::is_exact(block, layer, p)) {
            const ggml_type other = impl::smallest_exact(layer, p, who);
            detail::fail<option_error>(who, ": ", name(type),
                                       " cannot hold this layer exactly: ", impl::obstacle(block, layer, p), "; ",
                                       name(other), " can");
        }
        std::vector<std::byte> bytes(p.out_features * p.group_of_block.size() * block.bytes);
        impl::encode_layer(block, layer, p, std::span(bytes));
        return bytes;
    });
}

/// The way back: Q4_0 is 4 bits with zero point 8, Q5_0 5 bits with 16, Q8_0 8 bits with 128, in groups of 32.
/// @param bytes  rows of blocks, as in a GGUF tensor of shape [out_features, in_features]
/// @throws option_error   another type; Q4_1 and Q5_1 have minima instead of zero points, see dequantize
/// @throws shape_error    not as many bytes as rows of that many blocks have
/// @throws numeric_error  a scale is not finite
[[nodiscard]] inline quantized<uniform_grid> from_ggml(ggml_type type, std::size_t out_features,
                                                       std::size_t in_features, std::span<const std::byte> bytes) {
    using detail::fail;
    constexpr std::string_view who = "from_ggml";
    return impl::visit_code_block(type, who, [&](auto block) {
        if (block.has_min)
            fail<option_error>(who, ": ", name(type), " has minima, and no zero points; dequantize reads it");
        const std::size_t row = in_features / block.elements, count = bytes.size() / block.bytes;
        if (row == 0 || in_features % block.elements != 0 || bytes.size() % block.bytes != 0 || count % row != 0 ||
            count / row != out_features)
            fail<shape_error>(who, ": ", bytes.size(), " bytes are not ", out_features, " rows of ", in_features,
                              " weights in blocks of 32 weights and ", block.bytes, " bytes");
        quantized<uniform_grid> q;
        q.grid = {.bits = block.bits, .group_size = static_cast<std::ptrdiff_t>(block.elements)};
        q.out_features = out_features;
        q.in_features = in_features;
        q.codes.resize(out_features * in_features);
        q.parameters.resize(count);
        q.g_idx = natural_g_idx(in_features, block.elements);
        for (std::size_t b = 0; b < count; ++b) {
            const std::span<std::uint8_t, 32> codes(q.codes.data() + b * block.elements, block.elements);
            const float scale = to_float(decode_block(block, bytes.data() + b * block.bytes, codes).d);
            if (!std::isfinite(scale))
                fail<numeric_error>(who, ": the scale of row ", b / row, ", block ", b % row, " is not finite");
            q.parameters[b] = {scale, static_cast<float>(block.zero)};
        }
        return q;
    });
}

}  // namespace GPTQ_ISA
}  // namespace gptq
