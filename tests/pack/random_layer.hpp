// A quantized layer with codes, scales, zero points and groups of no pattern: what packing must carry unchanged.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>

#include <gptq/grid/quantized.hpp>
#include <gptq/grid/uniform_grid.hpp>

/// Zero points are 1 … maxq, so that both zero formats hold them. With `shuffled` groups, g_idx is that of act-order.
inline gptq::quantized<gptq::uniform_grid> random_layer(std::size_t out, std::size_t in, gptq::uniform_grid grid,
                                                        bool shuffled = false) {
    std::mt19937 random(static_cast<std::uint32_t>(out * 1000 + in * 10 + grid.bits));
    grid.sym = false;
    gptq::quantized<gptq::uniform_grid> q{grid, out, in, {}, {}, {}};
    const auto below = [&](std::size_t limit) { return static_cast<std::uint32_t>(random() % limit); };
    for (std::size_t i = 0; i < out * in; ++i) q.codes.push_back(static_cast<std::uint8_t>(below(grid.maxq() + 1)));
    for (std::size_t i = 0; i < out * q.groups(); ++i)
        q.parameters.push_back(
            {static_cast<float>(below(2048)) / 4096 - 0.125F, static_cast<float>(1 + below(grid.maxq()))});
    for (std::size_t i = 0; i < in; ++i) {
        const std::size_t size = grid.group_size < 0 ? in : static_cast<std::size_t>(grid.group_size);
        q.g_idx.push_back(static_cast<std::int32_t>(i / size));
    }
    if (shuffled) std::shuffle(q.g_idx.begin(), q.g_idx.end(), random);
    return q;
}
