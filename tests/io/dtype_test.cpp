#include <gptq/io/dtype.hpp>

#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"

namespace dtype_test {

using namespace gptq::io;
using shape = std::vector<std::size_t>;

TEST_CASE("every element type is found by its own name, and nothing else is", "[io]") {
    CHECK(dtypes.size() == static_cast<std::size_t>(dtype::U64) + 1);
    for (std::size_t i = 0; i < dtypes.size(); ++i) {
        const auto type = static_cast<dtype>(i);
        CAPTURE(name(type));
        CHECK(dtype_named(name(type)) == type);
    }
    CHECK(name(dtype::BOOL) == "BOOL");
    CHECK(name(dtype::F8_E5M2FNUZ) == "F8_E5M2FNUZ");
    CHECK(name(dtype::BF16) == "BF16");
    CHECK_FALSE(dtype_named("f32"));
    CHECK_FALSE(dtype_named(""));
}

TEST_CASE("an element type's name ends in its width", "[io]") {
    CHECK(bits(dtype::BOOL) == 8);
    CHECK(bits(dtype::F4) == 4);
    CHECK(bits(dtype::F6_E3M2) == 6);
    CHECK(bits(dtype::F8_E4M3) == 8);
    CHECK(bits(dtype::BF16) == 16);
    CHECK(bits(dtype::C64) == 64);
    for (const char* number : {"8", "16", "32", "64"})
        for (const char* letter : {"U", "I"})
            CHECK(bits(*dtype_named(std::string(letter) + number)) == std::stoul(number));
}

TEST_CASE("byte counts know scalars, empty tensors and elements smaller than a byte", "[io]") {
    CHECK(byte_count(dtype::F32, shape{}) == 4U);
    CHECK(byte_count(dtype::F32, shape{2, 3}) == 24U);
    CHECK(byte_count(dtype::F64, shape{5, 0, 7}) == 0U);
    CHECK(byte_count(dtype::F4, shape{6}) == 3U);
    CHECK(byte_count(dtype::F4, shape{3}) == std::nullopt);
    CHECK(byte_count(dtype::F6_E2M3, shape{4}) == 3U);
    CHECK(byte_count(dtype::F6_E2M3, shape{2}) == std::nullopt);
}

TEST_CASE("a shape that memory cannot address has no byte count, even beside a 0", "[io]") {
    constexpr std::size_t huge = std::size_t{1} << (std::numeric_limits<std::size_t>::digits / 2U);
    CHECK(byte_count(dtype::U8, shape{huge, huge}) == std::nullopt);
    CHECK(byte_count(dtype::U8, shape{std::numeric_limits<std::size_t>::max()}) == std::nullopt);
    CHECK(byte_count(dtype::U8, shape{0, huge, huge}) == std::nullopt);
    CHECK(byte_count(dtype::U8, shape{huge, huge, 0}) == std::nullopt);
    CHECK(byte_count(dtype::U8, shape{0, huge}) == 0U);
}

TEST_CASE("shapes are printed as lists", "[io]") {
    CHECK(shape_text(shape{}) == "[]");
    CHECK(shape_text(shape{7}) == "[7]");
    CHECK(shape_text(shape{2, 0, 3}) == "[2, 0, 3]");
}

}  // namespace dtype_test
