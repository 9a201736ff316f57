// The one hot loop: 16 outputs of a quantized layer times the digits of a few tokens, over the whole input.
// Written once for every instruction set, width of codes, number of digits and number of tokens.
//
//     y[o] = Σ over blocks  s[o, group]·scale[block] · ( Σ code·q - zero[o, group]·Σ q )
//
// The bracket is exact: 32-bit integers. Over a block of 128 positions, with codes and zeros up to 255 and
// |d0 + 256·d1| <= 128·257, it and both of its terms stay within 128·255·128·257 < 2^31; sums of d2 are smaller yet.
// What rounds is the conversion of the bracket, the product of the two scales, and one fused multiply-add per block.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <gptq/core/config.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/kernels/activations.hpp>
#include <gptq/kernels/isa.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/kernels/step.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

static_assert(std::int64_t{largest_block} * 255 * 128 * 257 < std::int64_t{1} << 31);

/// A run of blocks.
struct block_range {
    std::size_t first, last;
};

/// Where the scales and zero points of a tile's blocks are.
struct tile_parameters {
    const std::byte* scales;    ///< [groups][pitch] of the scale type, from the tile's first output on
    const std::uint8_t* zeros;  ///< [groups][pitch]
    std::size_t pitch;
    scale_type type;
    const std::uint32_t* group_of_block;
};

/// What one token's products with a tile have come to, as two numbers for each output: a sum of some blocks, so that
/// the sum of all of them is rounded less often.
struct tile_sums {
    static constexpr std::size_t blocks_in_recent = 16;
    float total[tile_outputs];
    float recent[tile_outputs];
};

/// One tile's multiplication. Tokens is how many tokens share each weight that is read.
template <instruction_set Isa, int Bits, digit_format Digits, int Tokens>
struct tile_kernel {
    static constexpr int largest_code = (1 << Bits) - 1;
    static constexpr int slices = largest_code > Isa::largest_code ? 2 : 1;
    static constexpr std::size_t steps_per_partial =  // 1, 2 or 4: a divisor of a block's steps
        std::bit_floor(Isa::steps_per_partial(std::min(largest_code, Isa::largest_code)));
    static_assert(steps_per_partial >= 1);
    /// Sums of the same kind that take turns, field by field, so that none waits for itself.
    static constexpr int turns = std::clamp(Isa::dots_in_flight / (Tokens * Digits::planes), 1, fields_per_step);
    using partials = typename Isa::partial[turns][Tokens][Digits::planes];
    using totals = typename Isa::ints[Tokens][Digits::accumulators];
    using tokens = token_digits<Digits>[Tokens];

    /// sums[t] += the blocks' products.
    /// @param steps  steps(b) is the first step of block b: tile_step or checkpoint_step
    template <class Steps>
    static void add(const Steps& steps, const tile_parameters& parameters, block_range range,
                    std::size_t steps_per_block, const tokens& x, tile_sums* sums) noexcept {
        typename Isa::floats recent[Tokens];
        unrolled<Tokens>([&](auto t) { recent[t] = Isa::load_scales(sums[t].recent); });
        for (std::size_t b = range.first; b < range.last; ++b) {
            totals block = {};
            add_block(steps(b), x, b * steps_per_block, steps_per_block, block);
            const std::size_t place = parameters.group_of_block[b] * parameters.pitch;
            const auto zeros = Isa::load_zeros(parameters.zeros + place);
            visit_scale_type(parameters.type, [&](auto stored) {
                const auto* scales = reinterpret_cast<const decltype(stored)*>(parameters.scales) + place;
                scale_block(Isa::load_scales(scales), zeros, block, x, b, recent);
            });
            if ((b + 1) % tile_sums::blocks_in_recent == 0) move_to_total(recent, sums);
        }
        unrolled<Tokens>([&](auto t) { Isa::store(recent[t], sums[t].recent); });
    }

private:
    /// block += codes · digits of `steps` steps; the first is step `first` of the tokens.
    template <class Step>
    [[gnu::always_inline]] static void add_block(const Step& step, const tokens& x, std::size_t first,
                                                 std::size_t steps, totals& block) noexcept {
        const std::size_t run = std::min(steps, steps_per_partial);
        for (std::size_t s = 0; s < steps; s += run)
            unrolled<slices>([&](auto slice) __attribute__((always_inline)) {
                partials sums = {};
                for (std::size_t i = s; i < s + run; ++i) add_step<slice>(step.further(i * Bits), x, first + i, sums);
                widen<slice>(sums, block);
            });
    }

    template <int Slice, class Step>
    [[gnu::always_inline]] static void add_step(const Step& step, const tokens& x, std::size_t index,
                                                partials& sums) noexcept {
        if constexpr (Slice == 0)
            unrolled<Bits>([&](auto l) __attribute__((always_inline)) { Isa::prefetch(step[l], step.words_ahead()); });
        unrolled<fields_per_step>([&](auto field) __attribute__((always_inline)) {
            const auto codes = codes_of<Isa, Bits, field, Slice>(step);
            unrolled<Tokens>([&](auto t) __attribute__((always_inline)) {
                unrolled<Digits::planes>([&](auto p) __attribute__((always_inline)) {
                    auto& sum = sums[field % turns][t][p];
                    sum = Isa::dot(sum, codes, x[t].steps[index].plane[p] + 4 * field);
                });
            });
        });
    }

    /// block += sums, each plane of digits in its place: d1 counts 256, d2 has an accumulator of its own.
    template <int Slice>
    [[gnu::always_inline]] static void widen(const partials& sums, totals& block) noexcept {
        unrolled<turns>([&](auto turn) __attribute__((always_inline)) {
            unrolled<Tokens>([&](auto t) __attribute__((always_inline)) {
                unrolled<Digits::planes>([&](auto p) __attribute__((always_inline)) {
                    constexpr int factor = (p == 1 ? 256 : 1) * (Slice == 1 ? 16 : 1);
                    auto& total = block[t][p / 2];
                    total = Isa::template widen<factor>(total, sums[turn][t][p]);
                });
            });
        });
    }

    static void move_to_total(typename Isa::floats (&recent)[Tokens], tile_sums* sums) noexcept {
        unrolled<Tokens>([&](auto t) {
            Isa::store(Isa::multiply_add(recent[t], 1.0F, Isa::load_scales(sums[t].total)), sums[t].total);
            recent[t] = {};
        });
    }

    [[gnu::always_inline]] static void scale_block(typename Isa::floats scales, typename Isa::ints zeros,
                                                   const totals& block, const tokens& x, std::size_t b,
                                                   typename Isa::floats (&sums)[Tokens]) noexcept {
        unrolled<Tokens>([&](auto t) __attribute__((always_inline)) {
            const block_terms<Digits>& terms = x[t].blocks[b];
            auto value = Isa::to_floats(Isa::subtract_product(block[t][0], zeros, terms.sum[0]));
            if constexpr (Digits::accumulators == 2) {
                const auto high = Isa::to_floats(Isa::subtract_product(block[t][1], zeros, terms.sum[1]));
                value = Isa::multiply_add(high, 65536.0F, value);
            }
            sums[t] = Isa::multiply_add(value, Isa::scaled(scales, terms.scale), sums[t]);
        });
    }
};

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
