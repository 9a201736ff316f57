#include <gptq/core/half.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "support/catch.hpp"

namespace half_test {

namespace {

using namespace gptq;

template <class T>
bool is_nan(T x) {
    return std::isnan(to_float(x));
}

/// The value of a 16-bit pattern, from the definition of the format.
template <class T>
double defined_value(std::uint16_t bits) {
    constexpr int fraction = std::is_same_v<T, f16> ? 10 : 7;
    constexpr int exponents = 15 - fraction;
    constexpr int bias = (1 << (exponents - 1)) - 1;
    const int exponent = (bits >> fraction) & ((1 << exponents) - 1);
    const int rest = bits & ((1 << fraction) - 1);
    const double sign = (bits & 0x8000) != 0 ? -1 : 1;
    if (exponent == (1 << exponents) - 1)
        return rest != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
    const double mantissa = std::ldexp(rest, -fraction) + (exponent > 0 ? 1 : 0);
    return sign * std::ldexp(mantissa, (exponent > 0 ? exponent : 1) - bias);
}

TEMPLATE_TEST_CASE("every 16-bit pattern has its defined value and survives a round trip", "", f16, bf16) {
    for (std::uint32_t pattern = 0; pattern <= 0xFFFF; ++pattern) {
        const TestType x{static_cast<std::uint16_t>(pattern)};
        const double value = defined_value<TestType>(x.bits);
        if (std::isnan(value)) {
            REQUIRE(is_nan(x));
            REQUIRE(is_nan(round_to<TestType>(to_float(x))));
        } else {
            REQUIRE(static_cast<double>(to_float(x)) == value);
            REQUIRE(round_to<TestType>(to_float(x)).bits == x.bits);
            REQUIRE(round_to<TestType>(value).bits == x.bits);
        }
    }
}

TEMPLATE_TEST_CASE("rounding goes to the nearest, ties to even, once", "", f16, bf16) {
    constexpr std::uint16_t largest = std::is_same_v<TestType, f16> ? 0x7BFF : 0x7F7F;
    for (std::uint16_t pattern = 0; pattern < largest; ++pattern) {
        const double low = defined_value<TestType>(pattern);
        const double high = defined_value<TestType>(static_cast<std::uint16_t>(pattern + 1));
        const double middle = (low + high) / 2;
        const auto even = static_cast<std::uint16_t>(pattern + (pattern & 1));
        REQUIRE(round_to<TestType>(middle).bits == even);
        REQUIRE(round_to<TestType>(-middle).bits == (even | 0x8000));
        // A hair beside the tie, which a detour over float would lose.
        REQUIRE(round_to<TestType>(std::nextafter(middle, 0.0)).bits == pattern);
        REQUIRE(round_to<TestType>(std::nextafter(middle, high)).bits == pattern + 1);
    }
}

TEMPLATE_TEST_CASE("a float rounds as the same number in double does", "", f16, bf16) {
    std::uint64_t differences = 0;
    const auto compare = [&](std::uint32_t pattern) {
        const auto x = std::bit_cast<float>(pattern);
        differences += round_to<TestType>(x).bits == round_to<TestType>(static_cast<double>(x)).bits ? 0U : 1U;
    };
    for (std::uint64_t pattern = 0; pattern <= 0xFFFF'FFFF; pattern += 251)
        compare(static_cast<std::uint32_t>(pattern));
    for (std::uint32_t high = 0; high <= 0xFFFF; ++high)  // ties, and a hair beside them
        for (const std::uint32_t low :
             {0x0000U, 0x0001U, 0x0FFFU, 0x1000U, 0x1001U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU})
            compare(high << 16U | low);
    CHECK(differences == 0);
}

TEST_CASE("what is too large becomes infinity, what is too small zero with its sign") {
    CHECK(round_to<f16>(65519.99F).bits == 0x7BFF);
    CHECK(round_to<f16>(65520.0F).bits == 0x7C00);
    CHECK(round_to<f16>(-1e30F).bits == 0xFC00);
    CHECK(round_to<f16>(0x1p-25F).bits == 0);
    CHECK(round_to<f16>(0x1.000002p-25F).bits == 1);
    CHECK(round_to<f16>(-1e-30F).bits == 0x8000);
    CHECK(round_to<bf16>(std::numeric_limits<float>::max()).bits == 0x7F80);
    CHECK(round_to<bf16>(1e300).bits == 0x7F80);
    CHECK(round_to<float>(1.0 + 1e-12) == 1.0F);
}

}  // namespace

}  // namespace half_test
