// Storing a module: the worked example's bytes, and through a file and back for all widths and ragged shapes.
#include <gptq/io/gptq_store.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <gptq/io/gptq_load.hpp>
#include <gptq/io/safetensors.hpp>

#include "io/raw_file.hpp"
#include "pack/random_layer.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"
#include "support/without_last.hpp"

namespace gptq_store_test {

using namespace gptq::io;
using gptq::packed_linear;
using gptq::scale_type;
using gptq::zero_format;

namespace {

/// Announced, stored, and loaded again.
packed_linear through_a_file(const packed_linear& p, const gptq_config& config) {
    const temp_folder folder;
    const auto declared = declare_gptq("a.b", p.out_features, p.in_features, config, p.stored_scales, !p.bias.empty());
    safetensors_writer writer(folder / "f", declared);
    for (const stored_tensor& tensor : gptq_tensors("a.b", p, config))
        writer.write(tensor.declaration.name, tensor.bytes);
    writer.finish();
    return load_gptq(safetensors::open(folder / "f"), "a.b", config);
}

void check_equal(const packed_linear& a, const packed_linear& b) {
    CHECK(a.out_features == b.out_features);
    CHECK(a.in_features == b.in_features);
    CHECK(a.groups == b.groups);
    CHECK(a.bits == b.bits);
    CHECK(a.zeros == b.zeros);
    CHECK(a.stored_scales == b.stored_scales);
    CHECK(a.qweight == b.qweight);
    CHECK(a.qzeros == b.qzeros);
    CHECK(a.scales == b.scales);
    CHECK(a.g_idx == b.g_idx);
    CHECK(a.bias == b.bias);
}

}  // namespace

TEST_CASE("the documented module is stored as documented", "[io]") {
    gptq::quantized<gptq::uniform_grid> q{
        {.bits = 4, .group_size = 8}, 8, 8, {}, std::vector<gptq::affine>(8, {0.5F, 8.0F}),
        std::vector<std::int32_t>(8)};
    for (unsigned o = 0; o < 8; ++o)
        for (unsigned i = 0; i < 8; ++i) q.codes.push_back(static_cast<std::uint8_t>(i + o));
    packed_linear p = pack(q);
    p.bias = {1, 0, 0, 0, 0, 0, 0, -1.5F};
    const auto tensors = gptq_tensors("m", p, {.bits = 4, .group_size = 8});

    REQUIRE(tensors.size() == 5);
    const auto check_tensor = [&tensors](std::size_t i, const std::string& name, dtype type,
                                         const std::vector<std::size_t>& shape, const std::string& bytes) {
        CAPTURE(name);
        CHECK(tensors[i].declaration.name == name);
        CHECK(tensors[i].declaration.type == type);
        CHECK(tensors[i].declaration.shape == shape);
        CHECK(bytes_of(tensors[i].bytes) == bytes);
    };
    check_tensor(0, "m.qweight", dtype::I32, {1, 8},
                 "\x10\x32\x54\x76\x21\x43\x65\x87\x32\x54\x76\x98\x43\x65\x87\xA9"
                 "\x54\x76\x98\xBA\x65\x87\xA9\xCB\x76\x98\xBA\xDC\x87\xA9\xCB\xED");
    check_tensor(1, "m.qzeros", dtype::I32, {1, 1}, "\x77\x77\x77\x77");
    check_tensor(2, "m.scales", dtype::F16, {1, 8},
                 std::string("\0\x38\0\x38\0\x38\0\x38\0\x38\0\x38\0\x38\0\x38", 16));
    check_tensor(3, "m.g_idx", dtype::I32, {8}, std::string(32, '\0'));
    check_tensor(4, "m.bias", dtype::F16, {8}, std::string("\0\x3C\0\0\0\0\0\0\0\0\0\0\0\0\0\xBE", 16));
}

TEST_CASE("a layer is the same after a file, for all widths, ragged shapes, zero formats and scale types", "[io]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 8U);
    const auto [out, in, group_size] = GENERATE(table<std::size_t, std::size_t, std::ptrdiff_t>(
        {{1, 1, -1}, {7, 33, 32}, {5, 96, 32}, {33, 7, 2}, {16, 64, 128}}));
    const auto zeros = GENERATE(zero_format::v1, zero_format::v2);
    const auto scales = GENERATE(scale_type::f16, scale_type::bf16, scale_type::f32);
    CAPTURE(bits, out, in, group_size);

    auto q = random_layer(out, in, {.bits = bits, .group_size = group_size, .scales = scales}, true);
    for (gptq::affine& a : q.parameters) a.scale = gptq::rounded_to(scales, a.scale);
    packed_linear p = pack(q, zeros);
    if (out > 5) p.bias.assign(out, -0.25F);
    check_equal(through_a_file(p, {.bits = bits, .group_size = group_size, .zeros = zeros}), p);
}

TEST_CASE("what is announced is what is stored", "[io]") {
    const auto p = pack(random_layer(7, 33, {.bits = 3, .group_size = 32}));
    const gptq_config config{.bits = 3, .group_size = 32};
    const auto declared = declare_gptq("m", 7, 33, config, scale_type::f16, false);
    const auto stored = gptq_tensors("m", p, config);
    REQUIRE(declared.size() == stored.size());
    for (std::size_t i = 0; i < stored.size(); ++i) {
        CHECK(declared[i].name == stored[i].declaration.name);
        CHECK(declared[i].shape == stored[i].declaration.shape);
        CHECK(byte_count(declared[i].type, declared[i].shape) == stored[i].bytes.size());
    }
    CHECK(declare_gptq("m", 7, 33, config, scale_type::f16, true).back().name == "m.bias");
    CHECK_THROWS_AS(declare_gptq("m", 7, 33, {.bits = 5}, scale_type::f16, false), gptq::option_error);
}

TEST_CASE("a layer that is not of the checkpoint's configuration is refused", "[io]") {
    const packed_linear p = pack(random_layer(8, 64, {.bits = 4, .group_size = 32}), zero_format::v2);
    const gptq_config right{.bits = 4, .group_size = 32, .zeros = zero_format::v2};
    const auto refused_by = [&](auto error, auto change) {
        gptq_config config = right;
        change(config);
        return message_of<decltype(error)>([&] { (void)gptq_tensors("m", p, config); });
    };
    CHECK(refused_by(gptq::option_error(""), [](gptq_config& c) { c.bits = 8; }) ==
          "m: has 4 bits, expected the checkpoint's 8");
    CHECK(refused_by(gptq::option_error(""), [](gptq_config& c) { c.zeros = zero_format::v1; }) ==
          "m: its zero points are packed as gptq_v2, expected the checkpoint's gptq");
    CHECK(refused_by(gptq::shape_error(""), [](gptq_config& c) { c.group_size = 64; }) ==
          "m: number of groups is 2, expected 1");
    CHECK(refused_by(gptq::error(""), [](gptq_config&) {}) == "(nothing was thrown)");
}

TEST_CASE("a scale that its stored type cannot hold is refused, not rounded", "[io]") {
    packed_linear p = pack(random_layer(8, 64, {.bits = 4, .group_size = 32}));
    p.scales[3] = 0.1F;
    CHECK(contains(message_of<gptq::numeric_error>([&] { (void)gptq_tensors("m", p, {.bits = 4, .group_size = 32}); }),
                   "is not a value of F16"));
    p.stored_scales = scale_type::f32;
    CHECK_NOTHROW(gptq_tensors("m", p, {.bits = 4, .group_size = 32}));
}

TEST_CASE("an inconsistent layer is refused before anything is stored", "[io]") {
    packed_linear p = pack(random_layer(8, 64, {.bits = 4, .group_size = 32}));
    p.qweight = without_last(p.qweight);
    CHECK_THROWS_AS(gptq_tensors("m", p, {.bits = 4, .group_size = 32}), gptq::shape_error);
}

}  // namespace gptq_store_test
