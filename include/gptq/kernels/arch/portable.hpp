// The kernels' primitives in plain C++: the definition of correct for every other instruction set.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <gptq/core/config.hpp>
#include <gptq/core/half.hpp>
#include <gptq/kernels/layout.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace isa {

/// No instruction set: standard C++ for any processor.
struct portable {
    /// What gptq::instruction_set asks for. @{
    static constexpr std::string_view name = "portable";

    /// Sixteen of T.
    template <class T>
    struct lanes {
        T lane[tile_outputs] = {};  ///< by output
    };
    using words = lanes<std::uint32_t>;
    using partial = lanes<std::int32_t>;
    using ints = lanes<std::int32_t>;
    using floats = lanes<float>;

    static constexpr int largest_code = 255;
    static constexpr int partials_in_registers = 1;
    static constexpr int dots_in_flight = 1;
    /// 32-bit sums hold any block: 128 positions · 255 · 128 < 2^31.
    static constexpr std::size_t steps_per_partial(int) noexcept { return largest_block / step_positions; }

    static words load(const std::uint32_t* from) noexcept {
        return each<words>([&](std::size_t i) { return from[i]; });
    }
    template <int Shift, std::uint32_t Mask>
    static words bits(words w) noexcept {
        return each<words>([&](std::size_t i) {
            if constexpr (Shift < 0)
                return w.lane[i] << -Shift & Mask;
            else
                return w.lane[i] >> Shift & Mask;
        });
    }
    static words either(words a, words b) noexcept {
        return each<words>([&](std::size_t i) { return a.lane[i] | b.lane[i]; });
    }
    /// Out of line: as part of an unrolled step it takes compilers three times as long, and runs half as fast.
    [[gnu::noinline]] static partial dot(partial sum, words codes, const std::int8_t* digits) noexcept {
        const auto term = [&](std::uint32_t word, unsigned byte) {
            return static_cast<std::int32_t>(word >> 8U * byte & 0xFFU) * digits[byte];
        };
        return each<partial>([&](std::size_t i) {
            const std::uint32_t w = codes.lane[i];
            return sum.lane[i] + term(w, 0) + term(w, 1) + term(w, 2) + term(w, 3);
        });
    }
    template <int Factor>
    static ints widen(ints sum, partial p) noexcept {
        return each<ints>([&](std::size_t i) { return sum.lane[i] + Factor * p.lane[i]; });
    }

    static ints load_zeros(const std::uint8_t* zeros) noexcept {
        return each<ints>([&](std::size_t i) { return std::int32_t{zeros[i]}; });
    }
    template <class Scale>
    static floats load_scales(const Scale* scales) noexcept {
        return each<floats>([&](std::size_t i) { return to_float(scales[i]); });
    }
    static ints subtract_product(ints a, ints b, std::int32_t factor) noexcept {
        return each<ints>([&](std::size_t i) { return a.lane[i] - b.lane[i] * factor; });
    }
    static floats to_floats(ints a) noexcept {
        return each<floats>([&](std::size_t i) { return static_cast<float>(a.lane[i]); });
    }
    static floats scaled(floats a, float factor) noexcept {
        return each<floats>([&](std::size_t i) { return a.lane[i] * factor; });
    }
    static floats multiply_add(floats a, floats b, floats sum) noexcept {
        return each<floats>([&](std::size_t i) { return std::fma(a.lane[i], b.lane[i], sum.lane[i]); });
    }
    static floats multiply_add(floats a, float factor, floats sum) noexcept {
        return each<floats>([&](std::size_t i) { return std::fma(a.lane[i], factor, sum.lane[i]); });
    }
    static void store(floats a, float* to) noexcept {
        for (std::size_t i = 0; i < tile_outputs; ++i) to[i] = a.lane[i];
    }
    static void prefetch(const std::uint32_t*, std::size_t) noexcept {}
    /// @}

private:
    template <class Lanes, class F>
    static Lanes each(F&& value) noexcept {
        Lanes result;
        for (std::size_t i = 0; i < tile_outputs; ++i) result.lane[i] = value(i);
        return result;
    }
};

}  // namespace isa
}  // namespace GPTQ_ISA
}  // namespace gptq
