// What a caller may choose about a solve, beyond the grid and the factor.
#pragma once

#include <cstddef>

#include <gptq/core/error.hpp>

namespace gptq {

/// What a caller may choose about a solve.
struct solve_options {
    /// Columns that are solved together in cache. Has no influence on the result beyond rounding; 128 is fastest.
    std::size_t block_size = 128;
    /// Fit every group's scale once, on the untouched weights, groups in the original column order. Makes g_idx trivial
    /// with any act-order, at a small loss of accuracy. Without it a group is fitted when it is reached, on the weights
    /// that make up best for all errors so far. Costs no time.
    bool static_groups = false;
    /// Report ‖E·X‖²/‖W·X‖². Costs one more triangular product with the factor: out·in² flops.
    bool relative_error = false;
    /// Report the loss of rounding to nearest on the same grid. Costs as much again, and 64 rows of memory per thread.
    bool compare_nearest = false;
    /// Report the loss of every row and of every group. Costs no time.
    bool losses_by_part = false;
    /// Do as the reference implementation where it differs: groups inside a block are fitted on weights that lack the
    /// block's own updates, and weights of dead inputs become 0. For comparisons only.
    bool reference = false;

    /// @throws option_error  block_size is 0
    void check() const {
        if (block_size == 0)
            detail::fail<option_error>("solve_options: block_size is 0, expected at least 1 (128 is usual)");
    }
};

}  // namespace gptq
