// Layers that were solved on the grid of a block type ↔ blocks of that type. Nothing is converted: the codes, d and m
// of blocks are those that the solver compensated for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/grid/block_grid.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/pack/block_layer.hpp>
#include <gptq/pack/ggml_blocks.hpp>
#include <gptq/pack/ggml_convert.hpp>
#include <gptq/pack/ggml_type.hpp>
#include <gptq/pack/parameters.hpp>

namespace gptq {

/// What a file calls the grid.
[[nodiscard]] constexpr ggml_type ggml_type_of(block_type type) noexcept {
    switch (type) {
        case block_type::q4_0: return ggml_type::q4_0;
        case block_type::q4_1: return ggml_type::q4_1;
        case block_type::q5_0: return ggml_type::q5_0;
        case block_type::q5_1: return ggml_type::q5_1;
        case block_type::q8_0: break;
    }
    return ggml_type::q8_0;
}

inline namespace GPTQ_ISA {

namespace impl {

[[nodiscard]] inline ggml_scale scale_of(block_d p) noexcept { return {as_f16(p.d), {}}; }
[[nodiscard]] inline ggml_scale scale_of(block_d_m p) noexcept { return {as_f16(p.d), as_f16(p.m)}; }

[[nodiscard]] constexpr bool is_exact(block_d p) noexcept { return is_f16(p.d); }
[[nodiscard]] constexpr bool is_exact(block_d_m p) noexcept { return is_f16(p.d) && is_f16(p.m); }

/// The group of each block, after the checks of all else that a layer made by hand may have wrong.
template <block_type Type>
[[nodiscard]] std::vector<std::size_t> checked_groups(const quantized<block_grid<Type>>& q, std::string_view who) {
    using detail::expect_equal;
    using detail::fail;
    expect_equal(who, "number of codes", q.out_features * q.in_features, q.codes.size());
    expect_equal(who, "number of parameters", q.out_features * q.groups(), q.parameters.size());
    expect_equal(who, "size of g_idx", q.in_features, q.g_idx.size());
    check_g_idx(who, q.g_idx, q.groups());
    std::uint8_t bits = 0;
    for (const std::uint8_t code : q.codes) bits |= code;
    if (bits >> block_grid<Type>::bits != 0)
        fail<option_error>(who, ": a code has more than ", block_grid<Type>::bits, " bits");
    if (!std::ranges::all_of(q.parameters, [](const auto& p) { return is_exact(p); }))
        fail<option_error>(who, ": the scale or the minimum of a block is no f16");
    return groups_of_blocks(q.g_idx, who);
}

}  // namespace impl

/// A layer that was solved on the grid of a block type, as blocks of that type.
/// @throws option_error  groups that blocks cannot follow; codes, d or m that blocks do not have
/// @throws shape_error   sizes of `q` disagree
template <block_type Type>
[[nodiscard]] std::vector<std::byte> to_ggml(const quantized<block_grid<Type>>& q) {
    constexpr std::string_view who = "to_ggml";
    return impl::visit_code_block(ggml_type_of(Type), who, [&](auto block) {
        const std::vector<std::size_t> groups = impl::checked_groups(q, who);
        std::vector<std::byte> bytes(q.out_features * groups.size() * block.bytes);
        impl::for_each_block(q, [&](std::size_t output, std::size_t b, const ggml_codes& codes) {
            const ggml_scale scale = impl::scale_of(q.parameters[output * q.groups() + groups[b]]);
            encode_block(block, codes, scale, bytes.data() + (output * groups.size() + b) * block.bytes);
        });
        return bytes;
    });
}

}  // namespace GPTQ_ISA
}  // namespace gptq
