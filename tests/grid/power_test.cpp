#include <gptq/grid/power.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"

namespace power_test {

namespace {

using gptq::impl::power;

TEST_CASE("a power in single precision is right within 1e-6 of itself") {
    for (const double exponent : {0.1, 0.5, 1.0, 2.0, 2.4, 3.7, 8.0}) {
        const power<float> raised(exponent);
        double worst = 0;
        for (std::uint32_t bits = 0x00800000; bits < 0x7F800000; bits += 9973) {
            const auto x = std::bit_cast<float>(bits);
            // The exponent is a float too: 2.4 is 2.4000001, which counts for tiny x.
            const double exact = std::pow(static_cast<double>(x), static_cast<double>(static_cast<float>(exponent)));
            if (exact < 0x1p-125 || exact > 0x1p127) continue;
            worst = std::max(worst, std::abs(static_cast<double>(raised(x)) - exact) / exact);
        }
        INFO(exponent);
        CHECK(worst < 1e-6);
        CHECK(worst > 0);
    }
}

TEST_CASE("a power at the ends of its range is 0 or infinite, and never a NaN") {
    using limits = std::numeric_limits<float>;
    for (const double exponent : {0.1, 1.0, 2.4, 8.0}) {
        const power<float> raised(exponent);
        CHECK(raised(0.0F) == 0);
        CHECK(raised(limits::denorm_min()) == 0);
        CHECK(raised(limits::max()) > 1);
        CHECK(raised(limits::infinity()) >= raised(limits::max()));
        CHECK(raised(1.0F) == Approx(1.0F).epsilon(1e-6));
    }
    CHECK(power<float>(2.4)(1e-30F) == 0);
    CHECK(power<float>(2.4)(1e30F) == limits::infinity());
    CHECK(power<float>(8)(1e-6F) == 0);
}

TEST_CASE("a power in double precision is the C library's") {
    CHECK(power<double>(2.4)(0.3) == std::pow(0.3, 2.4));
    CHECK(power<double>(2.4)(0) == 0);
}

}  // namespace

}  // namespace power_test
