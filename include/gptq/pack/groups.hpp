// Which columns share a scale, and how a layer gets into an order in which they are neighbours.
// Act-order leaves groups scattered over the columns. GPTQ files say so in g_idx; others cannot.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// Groups of so many neighbouring columns, of which the last may have fewer: g_idx of a layer without act-order.
[[nodiscard]] inline std::vector<std::int32_t> natural_g_idx(std::size_t in_features, std::size_t group_size) {
    std::vector<std::int32_t> g_idx(in_features);
    for (std::size_t i = 0; i < in_features; ++i) g_idx[i] = static_cast<std::int32_t>(i / group_size);
    return g_idx;
}

/// Whether every group is a run of neighbouring columns: a layer without act-order.
[[nodiscard]] inline bool groups_are_runs(std::span<const std::int32_t> g_idx) { return std::ranges::is_sorted(g_idx); }

/// A group size that makes so many groups of a row: per_row for one group.
/// @pre  groups is what some group size makes of the row
[[nodiscard]] constexpr std::ptrdiff_t group_size_for(std::size_t in_features, std::size_t groups) noexcept {
    return groups == 1 ? per_row : static_cast<std::ptrdiff_t>((in_features + groups - 1) / groups);
}

/// The columns in the order of their groups; within a group, in their own.
/// @pre  0 <= g_idx[i]
[[nodiscard]] inline std::vector<std::size_t> grouped_order(std::span<const std::int32_t> g_idx) {
    std::vector<std::size_t> order(g_idx.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [g_idx](std::size_t a, std::size_t b) { return g_idx[a] != g_idx[b] ? g_idx[a] < g_idx[b] : a < b; });
    return order;
}

namespace impl {

/// Whether groups are neighbouring columns, and all of one size.
[[nodiscard]] inline bool has_natural_groups(std::span<const std::int32_t> g_idx, std::size_t groups) {
    if (g_idx.size() % groups != 0) return false;
    const std::vector<std::int32_t> natural = natural_g_idx(g_idx.size(), g_idx.size() / groups);
    return std::equal(g_idx.begin(), g_idx.end(), natural.begin());
}

/// Whether every group has as many columns, wherever they are.
[[nodiscard]] inline bool groups_are_equal(std::span<const std::int32_t> g_idx, std::size_t groups) {
    std::vector<std::size_t> sizes(groups);
    for (const std::int32_t k : g_idx) ++sizes[static_cast<std::size_t>(k)];
    return std::count(sizes.begin(), sizes.end(), sizes[0]) == std::ssize(sizes);
}

inline void expect_permutation(std::span<const std::size_t> order, std::size_t size) {
    detail::expect_equal("permute_inputs", "size of the order", size, order.size());
    std::vector<char> seen(size);
    for (const std::size_t i : order) {
        if (i >= size || seen[i] != 0)
            detail::fail<option_error>("permute_inputs: the order has ", i, i < size ? " twice" : "",
                                       ", expected each of 0 … ", size - 1, " once");
        seen[i] = 1;
    }
}

}  // namespace impl

/// The same layer for inputs in another order: its input i is what input order[i] was, and its product with such inputs
/// is the same. Who makes the inputs must make them in that order: for down_proj, give the outputs of gate_proj and
/// up_proj the same order (row_order.hpp). Elsewhere the order is rarely free: heads and residual streams hold it.
/// @throws shape_error, option_error, numeric_error  `order` is no permutation of the inputs; as check
/// @cost   the codes are unpacked, a byte each, and packed again
[[nodiscard]] inline packed_linear permute_inputs(packed_linear p, std::span<const std::size_t> order) {
    check(p);
    impl::expect_permutation(order, p.in_features);
    std::vector<std::uint8_t> codes = impl::unpacked_codes(p), row(p.in_features);
    std::vector<std::int32_t> g_idx(p.in_features);
    const auto rows = view_of(codes.data(), p.out_features, p.in_features);
    for (std::size_t o = 0; o < p.out_features; ++o) {
        for (std::size_t i = 0; i < order.size(); ++i) row[i] = rows(o, order[i]);
        std::ranges::copy(row, rows.row_data(o));
    }
    p.qweight = impl::packed_codes(codes, p.out_features, p.in_features, p.bits);
    for (std::size_t i = 0; i < order.size(); ++i) g_idx[i] = p.g_idx[order[i]];
    p.g_idx = std::move(g_idx);
    return p;
}

/// A layer, and where its inputs were before: input i was input order[i].
struct reordered_linear {
    packed_linear layer;             ///< whose groups are runs of neighbouring columns
    std::vector<std::size_t> order;  ///< [in_features], for permute_outputs of what makes the inputs
};

/// Undoes act-order where the order of inputs is free (see permute_inputs): groups become neighbouring columns, so that
/// every format can hold the layer.
/// @throws shape_error, option_error, numeric_error  as check
[[nodiscard]] inline reordered_linear without_act_order(packed_linear p) {
    check(p);
    auto order = grouped_order(p.g_idx);
    p = permute_inputs(std::move(p), order);
    return {std::move(p), std::move(order)};
}

/// The same layer with its zero points in another format.
/// @throws option_error  v1, and a zero point is 0
/// @throws shape_error, numeric_error  as check
[[nodiscard]] inline packed_linear with_zeros(packed_linear p, zero_format zeros) {
    check(p);
    if (p.zeros == zeros) return p;
    const auto values = impl::zeros_of(p);
    p.zeros = zeros;
    impl::put_zeros(values, p);
    return p;
}

/// The codes, scales and zero points of a layer whose group size nobody tells.
/// @throws shape_error, option_error, numeric_error  the layer is inconsistent
[[nodiscard]] inline quantized<uniform_grid> unpack(const packed_linear& p) {
    check(p);
    return unpack(p, group_size_for(p.in_features, p.groups));
}

/// Whether every zero point is the middle of the codes, 2^(bits - 1).
[[nodiscard]] inline bool is_symmetric(const packed_linear& p) {
    return impl::all_in_the_middle(impl::zeros_of(p), p.bits);
}

}  // namespace GPTQ_ISA
}  // namespace gptq
