// How sums over pairs of features are cut into tiles, each the work of one single-threaded BLAS call.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include <gptq/core/config.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// The square tiles that cut [0, n) x [0, n)'s lower triangle. Their size depends on n alone, so the sums in every
/// element are the same whatever executor runs the tiles.
struct lower_tiles {
    std::size_t n = 0;
    std::size_t size = std::clamp<std::size_t>((n / 8 + 63) / 64 * 64, 128, 512);

    [[nodiscard]] std::size_t per_side() const noexcept { return (n + size - 1) / size; }
    [[nodiscard]] std::size_t count() const noexcept { return per_side() * (per_side() + 1) / 2; }
    [[nodiscard]] std::size_t begin(std::size_t block) const noexcept { return block * size; }
    [[nodiscard]] std::size_t extent(std::size_t block) const noexcept { return std::min(size, n - begin(block)); }

    /// Block row and block column (row >= column) of tile t.
    [[nodiscard]] static std::pair<std::size_t, std::size_t> at(std::size_t t) noexcept {
        std::size_t row = 0;
        while (t > row) t -= ++row;
        return {row, t};
    }
};

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
