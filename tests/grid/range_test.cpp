#include <gptq/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "support/catch.hpp"

namespace range_test {

namespace {

using namespace gptq;

TEMPLATE_TEST_CASE("the extent of any number of values is that of a plain loop", "[grid]", float, double) {
    std::mt19937 random(1);
    std::normal_distribution<TestType> normal;
    for (std::size_t size = 0; size < 100; ++size)
        for (const TestType from : {TestType{0}, TestType{3}, TestType{-3}}) {
            std::vector<TestType> values(size);
            for (TestType& v : values) v = normal(random);
            TestType low = from, high = from;
            for (const TestType v : values) {
                low = std::min(low, v);
                high = std::max(high, v);
            }
            const auto found = impl::extent_of(std::span<const TestType>(values), from);
            REQUIRE(found.low == low);
            REQUIRE(found.high == high);
            REQUIRE(std::abs(found.far_end()) == std::max(std::abs(low), std::abs(high)));
        }
}

TEMPLATE_TEST_CASE("a bounded number is the nearest one of its range", "[grid]", float, double) {
    using limits = std::numeric_limits<TestType>;
    for (const TestType x : {TestType{0}, -TestType{0}, TestType{1}, TestType(7.5), TestType{15}, TestType{16},
                             TestType{-1}, limits::denorm_min(), -limits::denorm_min(), limits::max(), limits::lowest(),
                             limits::infinity(), -limits::infinity()})
        for (const TestType least : {TestType{0}, TestType{1}}) {
            INFO(x);
            CHECK(impl::bounded(x, least, TestType{15}) == std::clamp(x, least, TestType{15}));
        }
    for (const TestType nan : {limits::quiet_NaN(), -limits::quiet_NaN()}) {
        const TestType bounded = impl::bounded(nan, TestType{0}, TestType{15});
        CHECK(bounded >= 0);
        CHECK(bounded <= 15);
    }
}

}  // namespace

}  // namespace range_test
