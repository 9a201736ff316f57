// The loops around a tile's kernel: over tiles and threads, over tokens, and over the input in runs that stay in cache.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <optional>
#include <span>

#include <gptq/core/config.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/view.hpp>
#include <gptq/kernels/activations.hpp>
#include <gptq/kernels/direct_linear.hpp>
#include <gptq/kernels/isa.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/kernels/linear.hpp>
#include <gptq/kernels/step.hpp>
#include <gptq/kernels/tile.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// Tokens whose digits gemm makes at a time: enough for weights to be read from memory seldom, few enough for the
/// digits to stay in the second cache.
inline constexpr std::size_t tokens_per_pass = 32;

/// Positions that all tokens of a pass are multiplied with before the next ones: a tile's weights then stay in the
/// first cache, and the digits of all tokens in the second. Less gains nothing.
inline constexpr std::size_t positions_per_run = 4096;

/// Tiles of a checkpoint that advance together, a block at a time: a row of theirs is a page.
inline constexpr std::size_t tiles_per_panel = 64;

/// Products of a code with a token that are worth waking a thread for: some 10 µs of work.
inline constexpr std::size_t least_work_of_a_thread = std::size_t{1} << 20U;

/// As many products take as long as quantizing one activation.
inline constexpr std::size_t work_of_an_activation = 32;

/// Some tokens from `first` on.
template <class Digits>
struct token_range {
    const token_buffer<Digits>& buffer;
    std::size_t first, count;
};

/// Multiplies `Tokens` tokens at a time, then the rest with half as many, and so on down to one.
template <class Isa, int Bits, int Tokens, class Digits, class Steps>
void add_tokens(const Steps& steps, const tile_parameters& parameters, block_range blocks, std::size_t steps_per_block,
                const token_range<Digits>& x, std::size_t token, tile_sums* sums) noexcept {
    for (; token + Tokens <= x.count; token += Tokens) {
        token_digits<Digits> some[Tokens];
        for (std::size_t t = 0; t < Tokens; ++t) some[t] = x.buffer[x.first + token + t];
        tile_kernel<Isa, Bits, Digits, Tokens>::add(steps, parameters, blocks, steps_per_block, some, sums + token);
    }
    if constexpr (Tokens > 1)
        add_tokens<Isa, Bits, Tokens / 2>(steps, parameters, blocks, steps_per_block, x, token, sums);
}

/// How many tokens' sums an instruction set holds in registers.
template <class Isa, class Digits>
inline constexpr int tokens_at_once =
    static_cast<int>(std::bit_floor(static_cast<unsigned>(std::max(1, Isa::partials_in_registers / Digits::planes))));

/// y = sums + bias for one token and the outputs of one tile.
template <class Layer, class Y>
void finish(const Layer& layer, std::size_t tile, const tile_sums& sums, std::size_t token,
            const matrix_view<Y>& y) noexcept {
    const std::size_t first = tile * tile_outputs, count = std::min(tile_outputs, layer.out_features() - first);
    for (std::size_t o = 0; o < count; ++o)
        y(token, first + o) =
            round_to<Y>(sums.total[o] + sums.recent[o] + (layer.bias().empty() ? 0 : layer.bias()[first + o]));
}

/// The first step of each block of a tile.
struct tile_steps {
    const line* words;
    std::size_t lines_per_block;
    [[nodiscard]] tile_step operator()(std::size_t block) const noexcept { return {words + block * lines_per_block}; }
};

/// The first step of the one block that is asked for.
template <class Step>
struct steps_of_one_block {
    Step step;
    [[nodiscard]] Step operator()(std::size_t) const noexcept { return step; }
};

/// Tile by tile: weights are one sequential stream.
/// @pre  x.count <= tokens_per_pass
template <class Isa, int Bits, class Digits, class Y>
void multiply_tiles(const linear& layer, const token_range<Digits>& x, std::size_t tile, std::size_t last,
                    const matrix_view<Y>& y) noexcept {
    const column_layout& layout = layer.layout();
    const std::size_t lines_per_block = layout.steps_per_block() * Bits;
    const std::size_t run = x.count == 1 ? layout.blocks() : positions_per_run / layout.block;
    tile_sums sums[tokens_per_pass];
    for (; tile < last; ++tile) {
        const tile_view weights = layer.tile(tile);
        const tile_steps steps{weights.words, lines_per_block};
        const tile_parameters parameters{weights.scales, weights.zeros, tile_outputs, layer.scales_stored_as(),
                                         layer.group_of_block().data()};
        std::fill_n(sums, x.count, tile_sums{});
        for (std::size_t b = 0; b < layout.blocks(); b += run)
            add_tokens<Isa, Bits, tokens_at_once<Isa, Digits>>(
                steps, parameters, {b, std::min(b + run, layout.blocks())}, layout.steps_per_block(), x, 0, sums);
        for (std::size_t t = 0; t < x.count; ++t) finish(layer, tile, sums[t], t, y);
    }
}

/// Adds one block of one tile for one token.
template <class Isa, int Bits, class Digits>
void add_direct(const direct_linear& layer, const token_digits<Digits>& x, std::size_t tile, std::size_t block,
                tile_sums* sums) noexcept {
    const std::size_t steps = layer.layout().steps_per_block();
    const auto add = [&](auto step) {
        tile_kernel<Isa, Bits, Digits, 1>::add(steps_of_one_block<decltype(step)>{step}, layer.parameters(tile),
                                               {block, block + 1}, steps, {x}, sums);
    };
    if (const auto lines = layer.incomplete_tile(); !lines.empty() && tile + 1 == layer.tiles())
        add(tile_step{&lines[block * steps * Bits]});
    else
        add(layer.block(tile, block));
}

/// A panel of tiles at a time, and in it block by block, as the checkpoint's rows lie.
template <class Isa, int Bits, class Digits, class Y>
void multiply_tiles(const direct_linear& layer, const token_range<Digits>& x, std::size_t first, std::size_t last,
                    const matrix_view<Y>& y) noexcept {
    if (layer.tiled()) return multiply_tiles<Isa, Bits>(*layer.tiled(), x, first, last, y);
    tile_sums sums[tiles_per_panel];
    for (; first < last; first += tiles_per_panel) {
        const std::size_t count = std::min(tiles_per_panel, last - first);
        for (std::size_t t = 0; t < x.count; ++t) {
            std::fill_n(sums, count, tile_sums{});
            for (std::size_t b = 0; b < layer.layout().blocks(); ++b)
                for (std::size_t i = 0; i < count; ++i)
                    add_direct<Isa, Bits>(layer, x.buffer[x.first + t], first + i, b, sums + i);
            for (std::size_t i = 0; i < count; ++i) finish(layer, first + i, sums[i], t, y);
        }
    }
}

/// Runs the tasks on as many threads as they keep busy for longer than it takes to wake one.
template <executor E, class Task>
void for_each_worth_it(E& workers, std::size_t count, std::size_t work_of_one, const Task& task) {
    if (workers.concurrency() > 1 && count * work_of_one >= 2 * least_work_of_a_thread)
        workers.for_each(count, task);
    else
        serial{}.for_each(count, task);
}

/// Cuts the tiles into one contiguous range per thread: each then reads one sequential stream of weights.
/// @param first  the token of x that is y's first row
/// @pre  y.rows <= tokens_per_pass
template <class Isa, class Layer, class Digits, class Y, executor E>
void multiply(const Layer& layer, const token_buffer<Digits>& x, std::size_t first, const matrix_view<Y>& y,
              E& workers) {
    const std::size_t work = layer.tiles() * tile_outputs * layer.layout().positions * y.rows;
    const std::size_t most = std::min<std::size_t>(layer.tiles(), work / least_work_of_a_thread);
    const std::size_t ranges = std::clamp<std::size_t>(workers.concurrency(), 1, std::max<std::size_t>(most, 1));
    const token_range<Digits> tokens{x, first, y.rows};
    visit_kernel_bits(layer.bits(), [&](auto bits) {
        const auto task = [&](std::size_t r) noexcept {
            multiply_tiles<Isa, bits>(layer, tokens, layer.tiles() * r / ranges, layer.tiles() * (r + 1) / ranges, y);
        };
        if (ranges == 1)
            task(0);
        else
            workers.for_each(ranges, task);
    });
}

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
