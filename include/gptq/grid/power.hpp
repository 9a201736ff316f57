// x^p for a fixed exponent p, as the scale search needs it for every weight and candidate: without branches and library
// calls, so that compilers vectorize it. Not a replacement for std::pow outside of x ≥ 0 and 0 < p ≤ 8.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>

#include <gptq/core/config.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// x → x^exponent, by the C library.
template <std::floating_point T>
class power {
public:
    explicit power(double exponent) noexcept : exponent_(static_cast<T>(exponent)) {}
    [[nodiscard]] T operator()(T x) const noexcept { return std::pow(x, exponent_); }

private:
    T exponent_;
};

/// In single precision: x = 2^e·m with m in [√½, √2), and x^p = 2^(p·(e + log2 m)), where log2 and the power of two of
/// what is left beside a whole number are minimax polynomials. The relative error is below 1e-6: ln 2·p·4.9e-8 + 7.5e-8
/// from the polynomials, roundings about as much. x below 2^-126 counts as 0; a power below 2^-126 is 0, one beyond
/// float's range is infinite.
template <>
class power<float> {
public:
    explicit power(double exponent) noexcept
        : exponent_(static_cast<float>(exponent)),
          coarse_(std::bit_cast<float>(std::bit_cast<std::uint32_t>(exponent_) & 0xFFFF0000U)),
          fine_(exponent_ - coarse_) {}

    [[nodiscard]] float operator()(float x) const noexcept {
        const auto bits = std::bit_cast<std::int32_t>(x);
        const std::int32_t exponent = (bits - std::bit_cast<std::int32_t>(0x1.6A09E6p-1F)) >> 23;
        const auto e = static_cast<float>(exponent);
        const float log2_m = log2_of_1_plus(std::bit_cast<float>(bits - (exponent << 23)) - 1);

        const float shifted = exponent_ * (e + log2_m) + rounder;
        const float whole = shifted - rounder;
        const float rest = (coarse_ * e - whole) + (fine_ * e + exponent_ * log2_m);

        const std::int32_t biased = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(rounder) + 127;
        const std::int32_t unless_tiny = -static_cast<std::int32_t>(bits >= 0x00800000);
        return exp2(rest) * std::bit_cast<float>((std::min(std::max(biased, 0), 255) & unless_tiny) << 23);
    }

private:
    /// Added to a float, it rounds it to a whole number, which then stands in the last bits.
    static constexpr float rounder = 0x1.8p23F;

    /// log2(1 + t) within 4.9e-8 for t in [√½ - 1, √2 - 1].
    [[nodiscard]] static float log2_of_1_plus(float t) noexcept {
        float sum = -0.145757779F;
        for (const float c :
             {0.236882582F, -0.250061154F, 0.286708534F, -0.360088110F, 0.480939388F, -0.721357107F, 1.442694783F})
            sum = sum * t + c;
        return sum * t;
    }

    /// 2^t within 7.5e-8 of itself for t in [-½, ½].
    [[nodiscard]] static float exp2(float t) noexcept {
        float sum = 0.00132764725F;
        for (const float c : {0.00967554096F, 0.0555071309F, 0.240221202F, 0.693146944F, 1.00000012F})
            sum = sum * t + c;
        return sum;
    }

    float exponent_;
    float coarse_;  // its first 8 bits: their product with e is exact
    float fine_;    // the rest
};

}  // namespace impl
}  // namespace GPTQ_ISA
}  // namespace gptq
