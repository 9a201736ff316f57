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
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <gptq/core/config.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/kernels/activations.hpp>
#include <gptq/kernels/isa.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/kernels/linear.hpp>
#include <gptq/kernels/step.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

static_assert(std::int64_t{largest_block} * 255 * 128 * 257 < std::int64_t{1} << 31);

/// How far ahead of the weight stream, contiguous across steps and tiles, a kernel asks for it: 8 KiB. A loop this busy
/// keeps too few loads in flight on its own. On Zen 5, 8 KiB take a fifth less time than 4, 2 are worse, 32 no better.
inline constexpr std::size_t lines_ahead = 128;

template <class F, int... I>
[[gnu::always_inline]] inline void call_each(F& f, std::integer_sequence<int, I...>) noexcept {
    (f(std::integral_constant<int, I>{}), ...);
}

/// f(0), f(1), …, f(N - 1) with constants: what a loop keeps in an array, this keeps in registers at -O2 as well.
template <int N, class F>
[[gnu::always_inline]] inline void unrolled(F&& f) noexcept {
    call_each(f, std::make_integer_sequence<int, N>{});
}

/// One tile's multiplication. Tokens is how many tokens share each weight that is read.
template <instruction_set Isa, int Bits, digit_format Digits, int Tokens>
struct tile_kernel {
    static constexpr int largest_code = (1 << Bits) - 1;
    static constexpr int slices = largest_code > Isa::largest_code ? 2 : 1;
    static constexpr std::size_t steps_per_partial = Isa::steps_per_partial(std::min(largest_code, Isa::largest_code));
    static_assert(steps_per_partial >= 1);
    using partials = typename Isa::partial[Tokens][Digits::planes];
    using totals = typename Isa::ints[Tokens][Digits::accumulators];
    using tokens = token_digits<Digits>[Tokens];

    /// Writes the tile's sixteen sums for each token, bias not added.
    static void multiply(const linear& layer, std::size_t tile, const tokens& x,
                         float (&y)[Tokens][tile_outputs]) noexcept {
        const tile_view weights = layer.tile(tile);
        const std::size_t steps = layer.layout().steps_per_block();
        const auto group_of_block = layer.group_of_block();
        typename Isa::floats sums[Tokens] = {};
        for (std::size_t b = 0; b < group_of_block.size(); ++b) {
            totals block = {};
            add_block(weights.words + b * steps * Bits, x, b * steps, steps, block);
            const std::size_t parameters = group_of_block[b] * tile_outputs;
            visit_scale_type(layer.scales_stored_as(), [&](auto stored) {
                const auto* scales = reinterpret_cast<const decltype(stored)*>(weights.scales) + parameters;
                scale_block(Isa::load_scales(scales), Isa::load_zeros(weights.zeros + parameters), block, x, b, sums);
            });
        }
        for (int t = 0; t < Tokens; ++t) Isa::store(sums[t], y[t]);
    }

private:
    /// block += codes · digits of `steps` steps from step `first` on.
    [[gnu::always_inline]] static void add_block(const line* words, const tokens& x, std::size_t first,
                                                 std::size_t steps, totals& block) noexcept {
        const std::size_t run = std::min(steps, steps_per_partial);
        for (std::size_t s = 0; s < steps; s += run)
            unrolled<slices>([&](auto slice) __attribute__((always_inline)) {
                partials sums = {};
                for (std::size_t step = s; step < s + run; ++step)
                    add_step<slice>(words + step * Bits, x, first + step, sums);
                widen<slice>(sums, block);
            });
    }

    template <int Slice>
    [[gnu::always_inline]] static void add_step(const line* words, const tokens& x, std::size_t step,
                                                partials& sums) noexcept {
        if constexpr (Slice == 0)
            for (int l = 0; l < Bits; ++l) Isa::prefetch(words + l, lines_ahead);
        unrolled<fields_per_step>([&](auto field) __attribute__((always_inline)) {
            const auto codes = codes_of<Isa, Bits, field, Slice>(words);
            unrolled<Tokens>([&](auto t) __attribute__((always_inline)) {
                unrolled<Digits::planes>([&](auto p) __attribute__((always_inline)) {
                    sums[t][p] = Isa::dot(sums[t][p], codes, x[t].steps[step].plane[p] + 4 * field);
                });
            });
        });
    }

    /// block += sums, each plane of digits in its place: d1 counts 256, d2 has an accumulator of its own.
    template <int Slice>
    [[gnu::always_inline]] static void widen(const partials& sums, totals& block) noexcept {
        unrolled<Tokens>([&](auto t) __attribute__((always_inline)) {
            unrolled<Digits::planes>([&](auto p) __attribute__((always_inline)) {
                constexpr int factor = (p == 1 ? 256 : 1) * (Slice == 1 ? 16 : 1);
                auto& total = block[t][p / 2];
                total = Isa::template widen<factor>(total, sums[t][p]);
            });
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
