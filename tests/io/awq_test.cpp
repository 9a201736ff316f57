// A layer through an AWQ file and back, and what is refused on the way in and out.
#include <gptq/io/awq_load.hpp>
#include <gptq/io/awq_store.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <gptq/io/safetensors.hpp>
#include <gptq/io/safetensors_writer.hpp>

#include "io/module_file.hpp"
#include "io/raw_file.hpp"
#include "pack/random_layer.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace awq_test {

using namespace gptq::io;
using gptq::packed_linear;
using gptq::scale_type;
using gptq::zero_format;
using words = std::vector<std::uint32_t>;

namespace {

const awq_config worked_config{.group_size = 8};
const words worked_qweight = {0x75316420, 0x86427531, 0x97538642, 0xA8649753,
                              0xB975A864, 0xCA86B975, 0xDB97CA86, 0xECA8DB97};

/// The worked module: 8 x 8, one group, scale 0.5, zero point 8, code (i + o) mod 16.
module_contents worked_module() {
    return {{"qweight", {dtype::I32, {8, 1}, bytes_of(worked_qweight)}},
            {"qzeros", {dtype::I32, {1, 1}, std::string(4, '\x88')}},
            {"scales", {dtype::F16, {1, 8}, bytes_of(std::vector<std::uint16_t>(8, 0x3800))}}};
}

packed_linear load(const module_contents& tensors, const awq_config& config = worked_config) {
    const temp_folder folder;
    return load_awq(safetensors::open(write_module(folder, tensors)), "m", config);
}

std::string refusal(const std::string& tensor, const std::function<void(module_contents&)>& spoil,
                    const awq_config& config = worked_config) {
    module_contents tensors = worked_module();
    spoil(tensors);
    return refusal_of(tensor, [&] { (void)load(tensors, config); });
}

/// Announced, stored, and loaded again.
packed_linear through_a_file(const packed_linear& p, const awq_config& config) {
    const temp_folder folder;
    safetensors_writer writer(
        folder / "f", declare_awq("a.b", p.out_features, p.in_features, config, p.stored_scales, !p.bias.empty()));
    for (const stored_tensor& tensor : awq_tensors("a.b", p, config))
        writer.write(tensor.declaration.name, tensor.bytes);
    writer.finish();
    return load_awq(safetensors::open(folder / "f"), "a.b", config);
}

}  // namespace

TEST_CASE("the documented AWQ module is loaded as documented", "[io]") {
    const packed_linear p = load(worked_module());
    CHECK(p.qweight ==
          words{0x76543210, 0x87654321, 0x98765432, 0xA9876543, 0xBA987654, 0xCBA98765, 0xDCBA9876, 0xEDCBA987});
    CHECK(p.zeros == zero_format::v1);
    CHECK(p.qzeros == words{0x77777777});
    CHECK(p.scales == std::vector<float>(8, 0.5F));
    CHECK(p.g_idx == std::vector<std::int32_t>(8));
    CHECK(p.stored_scales == scale_type::f16);
    CHECK(value_at(p, 0, 0) == -4.0F);
    CHECK(value_at(p, 7, 7) == 3.0F);
}

TEST_CASE("the documented AWQ module is stored as documented", "[io]") {
    const auto tensors = awq_tensors("m", load(worked_module()), worked_config);
    const module_contents expected = worked_module();
    REQUIRE(tensors.size() == 3);
    for (const stored_tensor& tensor : tensors) {
        CAPTURE(tensor.declaration.name);
        const auto& [type, shape, bytes] = expected.at(tensor.declaration.name.substr(2));
        CHECK(tensor.declaration.type == type);
        CHECK(tensor.declaration.shape == shape);
        CHECK(bytes_of(tensor.bytes) == bytes);
    }
}

TEST_CASE("a layer is the same after an AWQ file, for all shapes, zero points and scale types", "[io]") {
    const auto [out, in, group_size] = GENERATE(
        table<std::size_t, std::size_t, std::ptrdiff_t>({{8, 1, -1}, {24, 33, 11}, {40, 96, 32}, {64, 20, -1}}));
    const auto scales = GENERATE(scale_type::f16, scale_type::bf16, scale_type::f32);
    const bool has_zero = GENERATE(false, true);
    CAPTURE(out, in, group_size, has_zero);
    auto q = random_layer(out, in, {.bits = 4, .group_size = group_size, .scales = scales});
    for (gptq::affine& a : q.parameters) a.scale = gptq::rounded_to(scales, a.scale);
    if (has_zero) q.parameters.back().zero = 0;
    packed_linear p = pack(q);
    if (out > 24) p.bias.assign(out, -0.25F);
    const packed_linear back = through_a_file(p, {.group_size = group_size});
    CHECK(back.zeros == p.zeros);
    CHECK(back.qweight == p.qweight);
    CHECK(back.qzeros == p.qzeros);
    CHECK(back.scales == p.scales);
    CHECK(back.stored_scales == p.stored_scales);
    CHECK(back.g_idx == p.g_idx);
    CHECK(back.bias == p.bias);
}

TEST_CASE("an AWQ module that lacks a tensor, or has one of another type, is refused", "[io]") {
    for (const char* suffix : {"qweight", "qzeros", "scales"}) {
        module_contents tensors = worked_module();
        tensors.erase(suffix);
        CHECK(contains(message_of<gptq::format_error>([&] { (void)load(tensors); }),
                       "model.safetensors: has no tensor 'm." + std::string(suffix) + "'"));
    }
    for (const char* suffix : {"qweight", "qzeros"})
        CHECK(refusal(suffix, [&](module_contents& m) { m[suffix].type = dtype::F32; }) == "is F32, expected I32");
    CHECK(refusal("scales", [](module_contents& m) { m["scales"].type = dtype::I16; }) ==
          "is I16, expected F16, BF16 or F32");
}

TEST_CASE("an AWQ tensor of another shape is refused with all that the shape follows from", "[io]") {
    const std::string why = " (8 outputs, 8 inputs, group size 8)";
    CHECK(refusal("qweight", [](module_contents& m) { m["qweight"].shape = {8}; }) == "shape is [8], expected 2 axes");
    CHECK(refusal("qweight", [](module_contents& m) { m["qweight"] = {dtype::I32, {8, 0}, ""}; }) == "is empty");
    CHECK(refusal("qzeros", [](module_contents& m) {
              m["qzeros"].shape = {1, 1, 1};
          }) == "shape is [1, 1, 1], expected 2 axes");
    CHECK(refusal("qzeros", [](module_contents& m) {
              m["qzeros"] = {dtype::I32, {2, 1}, std::string(8, '\0')};
          }) == "shape is [2, 1], expected [1, 1]" + why);
    CHECK(refusal("scales", [](module_contents& m) {
              m["scales"].shape = {8, 1};
          }) == "shape is [8, 1], expected [1, 8]" + why);
    CHECK(refusal("bias", [](module_contents& m) {
              m["bias"] = {dtype::F16, {7}, std::string(14, '\0')};
          }) == "shape is [7], expected [8]" + why);
    CHECK(refusal("qweight", [](module_contents&) {}, {.group_size = 3}) ==
          "has 8 rows, expected a multiple of the group size 3");
    CHECK(refusal("qzeros", [](module_contents&) {}, {.group_size = 4}) ==
          "shape is [1, 1], expected [2, 1] (8 outputs, 8 inputs, group size 4)");
    CHECK_THROWS_AS(load(worked_module(), {.group_size = -2}), gptq::option_error);
}

TEST_CASE("an AWQ scale that is not finite is refused", "[io]") {
    CHECK(contains(refusal("scales", [](module_contents& m) { m["scales"].bytes[5] = '\x7E'; }),
                   "scale of group 0, output 2 is not finite"));
}

TEST_CASE("an AWQ module with any byte of its file changed loads or is refused as it should be", "[io]") {
    const temp_folder folder;
    check_any_change(read_bytes(write_module(folder, worked_module())), folder, [](const std::filesystem::path& path) {
        (void)load_awq(safetensors::open(path), "m", worked_config);
    });
}

TEST_CASE("a layer that is not of the AWQ checkpoint's configuration is refused", "[io]") {
    const packed_linear p = pack(random_layer(8, 64, {.bits = 4, .group_size = 32}));
    const auto refused = [&](const packed_linear& layer, const awq_config& config) {
        return message_of<gptq::error>([&] { (void)awq_tensors("m", layer, config); });
    };
    CHECK(refused(p, {.group_size = 32}) == "(nothing was thrown)");
    CHECK(refused(p, {.group_size = 64}) == "m: number of groups is 2, expected 1");
    CHECK(refused(p, {.group_size = 24}) == "m: in_features is 64, expected a multiple of the group size 24");
    CHECK(refused(p, {.group_size = 32, .sym = true}) ==
          "m: a zero point is not 8, as sym of the checkpoint says of all");
    CHECK(contains(refused(pack(random_layer(8, 64, {.bits = 4, .group_size = 32}, true)), {.group_size = 32}),
                   "(act-order), which AWQ cannot say"));
    packed_linear inexact = p;
    inexact.scales[3] = 0.1F;
    CHECK(refused(inexact, {.group_size = 32}) == "m: a scale of 0.1 is not a value of F16");
    CHECK(message_of<gptq::option_error>([] { (void)declare_awq("m", 12, 64, {}, scale_type::f16, false); }) ==
          "m: out_features is 12, expected a multiple of 8, which fill a word of AWQ");
}

}  // namespace awq_test
