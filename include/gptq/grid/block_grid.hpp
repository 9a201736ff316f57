// The grids of llama.cpp's blocks of 32 weights, so that GPTQ's error feedback lands on exactly what llama.cpp
// computes:
//   Q4_0, Q5_0, Q8_0   ŵ = d·(code - offset), offset 8, 16 or 128
//   Q4_1, Q5_1         ŵ = d·code + m
// with d and m in f16. How a block's bytes lie in a file is not told here.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

#include <gptq/core/config.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/range.hpp>
#include <gptq/grid/scale_search.hpp>
#include <gptq/grid/scale_type.hpp>

namespace gptq {

/// What llama.cpp calls a block of 32 weights.
enum class block_type {
    q4_0,  ///< 4 bits, values on both sides of 0
    q4_1,  ///< 4 bits, values from a minimum on
    q5_0,  ///< 5 bits, values on both sides of 0
    q5_1,  ///< 5 bits, values from a minimum on
    q8_0,  ///< 8 bits, values on both sides of 0
};

/// What a block of Q4_0, Q5_0 or Q8_0 stores beside its codes.
struct block_d {
    float d = 1;  ///< a number of f16, not 0; as often negative as not in Q4_0 and Q5_0

    friend bool operator==(const block_d&, const block_d&) = default;
};

/// What a block of Q4_1 or Q5_1 stores beside its codes.
struct block_d_m {
    float d = 1;  ///< a number of f16, not 0
    float m = 0;  ///< a number of f16: the value of code 0

    friend bool operator==(const block_d_m&, const block_d_m&) = default;
};

inline namespace GPTQ_ISA {

/// The grid of a type of block. Codes are those that blocks store; of Q8_0, which stores a signed byte, code - 128.
template <block_type Type>
struct block_grid {
    /// Whether a block stores the value of code 0.
    static constexpr bool has_m = Type == block_type::q4_1 || Type == block_type::q5_1;
    /// What a block stores beside its codes.
    using parameters = std::conditional_t<has_m, block_d_m, block_d>;

    /// Of a code.
    static constexpr unsigned bits = [] {
        switch (Type) {
            case block_type::q4_0:
            case block_type::q4_1: return 4U;
            case block_type::q5_0:
            case block_type::q5_1: return 5U;
            case block_type::q8_0: return 8U;
        }
    }();
    static constexpr std::ptrdiff_t group_size = 32;  ///< weights of a block

    scale_search search = scale_search::min_max;  ///< how d, and m, are chosen
    double norm = reference_norm;                 ///< the search's exponent, above 0, at most 8

    /// @throws option_error  norm out of range
    void check() const { detail::expect_norm("block_grid", norm); }

    /// d and m for one block of finite weights, as llama.cpp takes them, rounded to f16. Q4_0 and Q5_0: the weight of
    /// largest magnitude, whatever its sign, gets code 0. Q8_0: d = max|w|/127. Q4_1 and Q5_1: the range of the
    /// weights. A search shrinks the range towards 0, or towards the weight nearest to 0 where it does not hold 0.
    /// @param importance  for weighted_mse: one for each weight, not negative; or none
    /// @throws shape_error  another number of importances than of weights
    /// @source ggml-quants.c, quantize_row_q4_0_ref and those after it
    template <std::floating_point T>
    [[nodiscard]] parameters fit(std::span<const T> block, std::span<const T> importance = {}) const {
        const auto [low, high] = impl::extent_of(block, has_m && !block.empty() ? block.front() : T{0});
        return impl::fit_scale(*this, block, importance, shrinking(low, high), impl::rounding_miss(*this));
    }

    /// The code of v, as a whole number: nearest, ties to even before the offset is added.
    template <std::floating_point T>
    [[nodiscard]] static T round(T v, const parameters& p) noexcept {
        return impl::bounded(unbounded_code(v, p), T{least_code}, T{largest_code});
    }

    /// In floats whatever T is, as llama.cpp does. Bit for bit the same with any compiler flags: d has 11 significant
    /// bits and code - offset at most 8, so that their product is exact, and it does not matter whether the addition of
    /// m is fused with it.
    template <std::floating_point T>
    [[nodiscard]] static T dequantize(T code, const parameters& p) noexcept {
        const float product = p.d * (static_cast<float>(code) - offset);
        if constexpr (has_m)
            return static_cast<T>(product + p.m);
        else
            return static_cast<T>(product);
    }

    /// Whether v lies outside of the range by more than half a step.
    template <std::floating_point T>
    [[nodiscard]] static bool clips(T v, const parameters& p) noexcept {
        return round(v, p) != unbounded_code(v, p);
    }

private:
    static constexpr float offset = has_m ? 0 : 1U << (bits - 1U);
    static constexpr float largest_code = (1U << bits) - 1U;
    /// llama.cpp makes no byte -128, and its kernels need not be right for one.
    static constexpr float least_code = Type == block_type::q8_0 ? 1 : 0;

    /// p → parameters for the range shrunk to that share.
    template <std::floating_point T>
    [[nodiscard]] static auto shrinking(T low, T high) noexcept {
        if constexpr (has_m) {
            const T step = (high - low) / T{largest_code}, inner = std::clamp(T{0}, low, high);
            return [=](T p) {
                return block_d_m{usable_scale(scale_type::f16, p * step),
                                 storable(scale_type::f16, low + (1 - p) * (inner - low))};
            };
        } else {
            const T far = impl::extent<T>{low, high}.far_end();
            const T step = Type == block_type::q8_0 ? std::abs(far) / 127 : far / -T{offset};
            return [=](T p) { return block_d{usable_scale(scale_type::f16, p * step)}; };
        }
    }

    template <std::floating_point T>
    [[nodiscard]] static T unbounded_code(T v, const parameters& p) noexcept {
        if constexpr (has_m) v -= static_cast<T>(p.m);
        return std::rint(v / static_cast<T>(p.d)) + T{offset};
    }
};

using q4_0_grid = block_grid<block_type::q4_0>;  ///< ŵ = d·(code - 8)
using q4_1_grid = block_grid<block_type::q4_1>;  ///< ŵ = d·code + m, codes of 4 bits
using q5_0_grid = block_grid<block_type::q5_0>;  ///< ŵ = d·(code - 16)
using q5_1_grid = block_grid<block_type::q5_1>;  ///< ŵ = d·code + m, codes of 5 bits
using q8_0_grid = block_grid<block_type::q8_0>;  ///< ŵ = d·(code - 128)

}  // namespace GPTQ_ISA
}  // namespace gptq
