// In which order the solver takes a layer's columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>

namespace gptq {

/// Columns that matter most (largest diagonal of H) are best rounded first, while others can still make up for them.
enum class act_order {
    none,         ///< as they come
    descending,   ///< by falling diagonal; groups form along this order, so a checkpoint needs g_idx
    group_aware,  ///< by falling diagonal inside each group, groups by their largest: needs no g_idx at inference
};

inline namespace GPTQ_ISA {

/// order[k] = the column to take k-th. Ties keep the lower column first, so the order is the same on every machine.
/// @param diagonal    of H
/// @param group_size  for group_aware: columns per group; a ragged last group is taken last
/// @throws option_error  group_size is 0
template <class T>
[[nodiscard]] std::vector<std::uint32_t> column_order(std::span<const T> diagonal, act_order order,
                                                      std::size_t group_size) {
    std::vector<std::uint32_t> columns(diagonal.size());
    std::iota(columns.begin(), columns.end(), 0U);
    const auto falling = [&](std::uint32_t a, std::uint32_t b) { return diagonal[a] > diagonal[b]; };
    if (order == act_order::none) return columns;
    if (order == act_order::descending) {
        std::ranges::stable_sort(columns, falling);
        return columns;
    }
    if (group_size == 0) detail::fail<option_error>("column_order: group_size is 0, expected at least 1");
    const std::size_t full = columns.size() / group_size;
    const auto group_begin = [&](std::size_t g) {
        return columns.begin() + static_cast<std::ptrdiff_t>(g * group_size);
    };
    for (std::size_t g = 0; g < full; ++g) std::stable_sort(group_begin(g), group_begin(g + 1), falling);
    std::stable_sort(group_begin(full), columns.end(), falling);

    std::vector<std::size_t> groups(full);
    std::iota(groups.begin(), groups.end(), std::size_t{0});
    std::ranges::stable_sort(groups,
                             [&](std::size_t a, std::size_t b) { return falling(*group_begin(a), *group_begin(b)); });
    std::vector<std::uint32_t> result;
    result.reserve(columns.size());
    for (const std::size_t g : groups) result.insert(result.end(), group_begin(g), group_begin(g + 1));
    result.insert(result.end(), group_begin(full), columns.end());
    return result;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
