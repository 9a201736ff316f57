#include <gptq/grid/scale_type.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "support/catch.hpp"

namespace scale_type_test {

namespace {

using namespace gptq;

/// x and its neighbours, of both signs.
template <class T>
void check_around(scale_type type, double value) {
    for (const double sign : {1.0, -1.0}) {
        const auto x = static_cast<T>(sign * value);
        const T infinity = std::numeric_limits<T>::infinity();
        for (const T v : {std::nextafter(x, -infinity), x, std::nextafter(x, infinity)})
            if (std::abs(v) <= static_cast<T>(largest_scale(type))) {
                const float got = storable(type, v), want = rounded_to(type, v);
                if (got != want) {
                    INFO(v << " became " << got << ", expected " << want);
                    REQUIRE(got == want);
                }
            }
    }
}

TEMPLATE_TEST_CASE("a storable number is the one that conversion to f16 gives", "[grid]", float, double) {
    for (std::uint16_t bits = 0; bits < 0x7BFF; ++bits) {
        const double here = to_float(f16{bits}), next = to_float(f16{static_cast<std::uint16_t>(bits + 1)});
        check_around<TestType>(scale_type::f16, here);
        check_around<TestType>(scale_type::f16, (here + next) / 2);  // ties go to even
    }
}

TEMPLATE_TEST_CASE("a storable number is the one that conversion to bf16 and float gives", "[grid]", float, double) {
    for (std::uint16_t bits = 0x0080; bits < 0x7600; ++bits) {  // normal numbers below 2^110
        const double here = to_float(bf16{bits}), next = to_float(bf16{static_cast<std::uint16_t>(bits + 1)});
        check_around<TestType>(scale_type::bf16, here);
        check_around<TestType>(scale_type::bf16, (here + next) / 2);
        check_around<TestType>(scale_type::f32, here * 1.0000001);
        check_around<TestType>(scale_type::f32, here * (1 + 0x1p-24));  // a tie of doubles
    }
}

TEST_CASE("what a type cannot hold becomes its largest scale, and a usable scale is never 0") {
    for (const auto type : {scale_type::f16, scale_type::bf16, scale_type::f32}) {
        const double infinity = std::numeric_limits<double>::infinity();
        for (const double x : {1e300, infinity}) {
            CHECK(storable(type, x) == largest_scale(type));
            CHECK(usable_scale(type, -x) == -largest_scale(type));
            CHECK(usable_scale(type, static_cast<float>(x)) == largest_scale(type));
        }
        CHECK(storable(type, 0.0F) == 0);
        for (const double x : {0.0, 1e-300, 1e-40}) {
            CHECK(usable_scale(type, x) == smallest_scale(type));
            CHECK(usable_scale(type, static_cast<float>(-1e-40)) == -smallest_scale(type));
        }
        for (const float scale : {smallest_scale(type), largest_scale(type)}) CHECK(rounded_to(type, scale) == scale);
    }
}

}  // namespace

}  // namespace scale_type_test
