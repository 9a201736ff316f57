// How a solve walks its columns: which steps form a group, a panel, a block. Steps count from the first column taken.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/calib/order.hpp>
#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/solve/options.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// When a group's parameters are fitted.
enum class fit_time {
    before,    ///< all groups first, on the untouched weights
    on_reach,  ///< each group when its first column is reached; a group lies inside a block
    on_panel,  ///< all groups that begin in a panel when the panel is reached
};

struct step_range {
    std::size_t begin, end;
    [[nodiscard]] std::size_t size() const noexcept { return end - begin; }
};

struct schedule {
    std::size_t in_features = 0;
    std::size_t group_size = 0;
    std::size_t panel_size = 0;  ///< steps whose adjustment comes from one matrix product over all that was done
    std::size_t block_size = 0;  ///< steps of a panel that a strip of rows takes in one go, in cache
    fit_time fit = fit_time::before;
    std::vector<std::int32_t> group_of_step;
    std::vector<std::vector<std::size_t>> members;  ///< of each group: the places of its columns in the reversed order

    /// Which group a column belongs to is decided by its place in the matrix, except where groups form along the order.
    template <class T>
    schedule(const factor<T>& f, std::ptrdiff_t grid_group_size, const solve_options& options)
        : in_features(f.in_features()),
          group_size(grid_group_size > 0 ? static_cast<std::size_t>(grid_group_size) : in_features) {
        const bool one_group = group_size >= in_features;
        const bool by_place = options.static_groups || f.how != act_order::descending;
        if (f.how == act_order::group_aware && !one_group && f.group_size != grid_group_size)
            detail::fail<option_error>("solve: the factor's group-aware order is for groups of ", f.group_size,
                                       ", the grid's are of ", grid_group_size);
        members.resize(groups());
        for (std::size_t s = 0; s < in_features; ++s) {
            const std::size_t group = (by_place ? f.order[s] : s) / group_size;
            group_of_step.push_back(static_cast<std::int32_t>(group));
            members[group].push_back(in_features - 1 - s);
        }

        block_size = std::min(options.block_size, in_features);
        panel_size = std::max(block_size, widest_panel / block_size * block_size);
        if (options.static_groups || one_group) return;
        if (options.reference) {
            fit = fit_time::on_panel;
            panel_size = block_size;
        } else if (group_size > block_size) {
            fit = fit_time::on_panel;
            panel_size = group_size;
        } else {
            fit = fit_time::on_reach;
            block_size = block_size / group_size * group_size;
            panel_size = std::max(block_size, widest_panel / block_size * block_size);
        }
    }

    /// How far a panel's adjustment must reach: when groups are fitted by panels, to the end of the last that begins in
    /// it.
    [[nodiscard]] step_range window(step_range panel) const noexcept {
        if (fit != fit_time::on_panel) return panel;
        const std::size_t groups_end = (panel.end + group_size - 1) / group_size * group_size;
        return {panel.begin, std::min(std::max(panel.end, groups_end), in_features)};
    }
    [[nodiscard]] std::size_t largest_window() const noexcept {
        const bool groups_reach_out = fit == fit_time::on_panel && panel_size % group_size != 0;
        return std::min(in_features, panel_size + (groups_reach_out ? group_size : 0));
    }

    [[nodiscard]] std::size_t groups() const noexcept { return (in_features + group_size - 1) / group_size; }

    /// Wide panels and tall tiles keep products near their full rate; beyond this their results would leave the cache.
    static constexpr std::size_t widest_panel = 512;

    /// The steps of `whole` in consecutive pieces of `size`.
    template <class F>
    static void for_each_piece(step_range whole, std::size_t size, F&& f) {
        for (std::size_t s = whole.begin; s < whole.end; s += size) f(step_range{s, std::min(s + size, whole.end)});
    }
};

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
