#include <gptq/io/floats.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "io/raw_file.hpp"
#include "support/catch.hpp"

namespace floats_test {

using namespace gptq::io;

namespace {

tensor_ref tensor_at(const std::string& bytes, std::size_t offset, dtype type, std::size_t count) {
    return {"t", type, {count}, std::as_bytes(std::span(bytes)).subspan(offset, count * bits(type) / 8), nullptr};
}

}  // namespace

TEST_CASE("floats of every width are read, at every alignment", "[io]") {
    const std::vector<float> expected = {1.0F, 0.5F, 0.25F, -1.5F};
    const std::string f16("\x00\x3C\x00\x38\x00\x34\x00\xBE", 8);
    const std::string bf16("\x80\x3F\x00\x3F\x80\x3E\xC0\xBF", 8);
    const std::string f32 = bytes_of(expected);
    const std::string f64 = bytes_of(std::vector<double>(expected.begin(), expected.end()));
    for (std::size_t shift = 0; shift < 8; ++shift) {
        CAPTURE(shift);
        const std::string pad(shift, '?');
        CHECK(to_floats(tensor_at(pad + f16, shift, dtype::F16, 4)) == expected);
        CHECK(to_floats(tensor_at(pad + bf16, shift, dtype::BF16, 4)) == expected);
        CHECK(to_floats(tensor_at(pad + f32, shift, dtype::F32, 4)) == expected);
        CHECK(to_floats(tensor_at(pad + f64, shift, dtype::F64, 4)) == expected);
    }
}

TEST_CASE("infinities and NaN come through, and doubles are rounded to the nearest float", "[io]") {
    const std::string f16("\x00\x7C\x00\xFC\x01\x7E\x01\x00", 8);
    const auto values = to_floats(tensor_at(f16, 0, dtype::F16, 4));
    CHECK(values[0] == std::numeric_limits<float>::infinity());
    CHECK(values[1] == -std::numeric_limits<float>::infinity());
    CHECK(std::isnan(values[2]));
    CHECK(values[3] == 0x1p-24F);
    CHECK(to_floats(tensor_at(bytes_of(std::vector{0.1}), 0, dtype::F64, 1)) == std::vector{0.1F});
}

TEST_CASE("types that are no floats are refused by name", "[io]") {
    const std::string bytes(8, '\0');
    CHECK(message_of<gptq::format_error>([&] { (void)to_floats(tensor_at(bytes, 0, dtype::I32, 2)); }) ==
          "tensor 't': is I32, expected F16, BF16, F32 or F64");
    CHECK_THROWS_AS(to_floats(tensor_at(bytes, 0, dtype::F8_E4M3, 8)), gptq::format_error);
}

TEST_CASE("floats go only into a place of their size", "[io]") {
    const std::string bytes(8, '\0');
    std::vector<float> three(3);
    CHECK(message_of<gptq::shape_error>([&] { read_floats(tensor_at(bytes, 0, dtype::F16, 4), three); }) ==
          "tensor 't': number of elements is 4, expected 3");
}

TEST_CASE("an empty tensor has no floats", "[io]") { CHECK(to_floats(tensor_at("", 0, dtype::F32, 0)).empty()); }

TEST_CASE("values are stored rounded once to their type", "[io]") {
    const std::vector<float> values = {1.0F, -1.5F, 0.1F};
    CHECK(bytes_of(to_bytes(values, gptq::scale_type::f16)) == std::string("\x00\x3C\x00\xBE\x66\x2E", 6));
    CHECK(bytes_of(to_bytes(values, gptq::scale_type::bf16)) == std::string("\x80\x3F\xC0\xBF\xCD\x3D", 6));
    CHECK(bytes_of(to_bytes(values, gptq::scale_type::f32)) == bytes_of(values));
    CHECK(dtype_of(gptq::scale_type::f16) == dtype::F16);
    CHECK(dtype_of(gptq::scale_type::bf16) == dtype::BF16);
    CHECK(dtype_of(gptq::scale_type::f32) == dtype::F32);
}

}  // namespace floats_test
