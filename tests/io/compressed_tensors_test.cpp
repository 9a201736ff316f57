// A layer through a compressed-tensors file and back, and what is refused on the way out. What is refused on the way in
// is in hostile_compressed_tensors_test.cpp.
#include <gptq/io/compressed_tensors_load.hpp>
#include <gptq/io/compressed_tensors_store.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <gptq/io/safetensors.hpp>
#include <gptq/io/safetensors_writer.hpp>

#include "io/module_file.hpp"
#include "io/raw_file.hpp"
#include "pack/random_layer.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace compressed_tensors_test {

using namespace gptq::io;
using gptq::compressed_linear;
using gptq::scale_type;
using words = std::vector<std::uint32_t>;

namespace {

const compressed_config worked_config{.group_size = 8};
const words worked_words = {0x76543210, 0x87654321, 0x98765432, 0xA9876543,
                            0xBA987654, 0xCBA98765, 0xDCBA9876, 0xEDCBA987};

/// The worked module: 8 x 8, one group, scale 0.5, zero point 8, code (i + o) mod 16.
module_contents worked_module() {
    return {{"weight_packed", {dtype::I32, {8, 1}, bytes_of(worked_words)}},
            {"weight_scale", {dtype::F16, {8, 1}, bytes_of(std::vector<std::uint16_t>(8, 0x3800))}},
            {"weight_shape", {dtype::I64, {2}, bytes_of(std::vector<std::int64_t>{8, 8})}}};
}

/// Announced, stored, and loaded again.
compressed_linear through_a_file(const compressed_linear& c, const compressed_config& config) {
    const temp_folder folder;
    safetensors_writer writer(folder / "f", declare_compressed("a.b", c.out_features, c.in_features, config,
                                                               c.stored_scales, !c.bias.empty()));
    for (const stored_tensor& tensor : compressed_tensors("a.b", c, config))
        writer.write(tensor.declaration.name, tensor.bytes);
    writer.finish();
    return load_compressed(safetensors::open(folder / "f"), "a.b", config);
}

}  // namespace

TEST_CASE("the documented compressed-tensors module is loaded and stored as documented", "[io]") {
    const temp_folder folder;
    const auto c = load_compressed(safetensors::open(write_module(folder, worked_module())), "m", worked_config);
    CHECK(c.weight_packed == worked_words);
    CHECK(c.weight_zero_point.empty());
    const auto p = to_gptq(c);
    CHECK(value_at(p, 0, 0) == -4.0F);
    CHECK(value_at(p, 7, 7) == 3.0F);

    const auto tensors = compressed_tensors("m", c, worked_config);
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

TEST_CASE("packed words stay where the file is mapped", "[io]") {
    const temp_folder folder;
    const auto file = safetensors::open(write_module(folder, worked_module()));
    const auto c = load_compressed(file, "m", worked_config);
    const bool in_place = static_cast<const void*>(c.weight_packed.data()) == file.at("m.weight_packed").bytes.data();
    CHECK(in_place == gptq::impl::is_little_endian);
}

TEST_CASE("a layer is the same after a compressed-tensors file", "[io]") {
    const auto [out, in, group_size] =
        GENERATE(table<std::size_t, std::size_t, std::ptrdiff_t>({{8, 1, -1}, {5, 33, 11}, {40, 96, 32}, {7, 20, -1}}));
    const unsigned bits = GENERATE(2U, 4U, 8U);
    const auto scales = GENERATE(scale_type::f16, scale_type::bf16, scale_type::f32);
    const bool sym = GENERATE(false, true);
    CAPTURE(out, in, group_size, bits, sym);
    auto q = random_layer(out, in, {.bits = bits, .group_size = group_size, .sym = sym, .scales = scales});
    for (gptq::affine& a : q.parameters) {
        a.scale = gptq::rounded_to(scales, a.scale);
        if (sym) a.zero = static_cast<float>(1U << (bits - 1));
    }
    compressed_linear c = pack_compressed(q, sym);
    if (out > 7) c.bias.assign(out, -0.25F);
    const auto back = through_a_file(c, {.bits = bits, .group_size = group_size, .sym = sym});
    CHECK(back.weight_packed == c.weight_packed);
    CHECK(back.weight_scale == c.weight_scale);
    CHECK(back.weight_zero_point == c.weight_zero_point);
    CHECK(back.stored_scales == c.stored_scales);
    CHECK(back.bias == c.bias);
    CHECK(unpack(back).codes == q.codes);
}

TEST_CASE("act-order goes through a file of a checkpoint that speaks of it", "[io]") {
    const auto q = random_layer(8, 64, {.bits = 4, .group_size = 32}, true);
    const compressed_linear c = pack_compressed(q, false);
    REQUIRE_FALSE(c.weight_g_idx.empty());
    const compressed_config config{.group_size = 32, .sym = false, .order = column_order::dynamic_groups};
    CHECK(through_a_file(c, config).weight_g_idx == c.weight_g_idx);
    CHECK(unpack(through_a_file(c, config)).g_idx == q.g_idx);
    const std::string message =
        message_of<gptq::option_error>([&] { (void)compressed_tensors("m", c, {.group_size = 32, .sym = false}); });
    CHECK(contains(message, "m: groups are scattered over the inputs (act-order)"));
}

TEST_CASE("a layer that is not of the compressed-tensors checkpoint's configuration is refused", "[io]") {
    auto q = random_layer(8, 64, {.bits = 4, .group_size = 32});
    q.parameters[0].zero = 3;
    const compressed_linear c = pack_compressed(q, false);
    const auto refused = [&](const compressed_config& config) {
        return message_of<gptq::error>([&] { (void)compressed_tensors("m", c, config); });
    };
    CHECK(refused({.group_size = 32, .sym = false}) == "(nothing was thrown)");
    CHECK(refused({.bits = 8, .group_size = 32, .sym = false}) == "m: has 4 bits, expected the checkpoint's 8");
    CHECK(refused({.group_size = 64, .sym = false}) == "m: number of groups is 2, expected 1");
    CHECK(refused({.group_size = 32, .sym = true}) == "m: has zero points, but the checkpoint is symmetric");
    CHECK(contains(refused({.bits = 3, .group_size = 32}), "m: bits is 3, expected 2, 4 or 8"));
}

TEST_CASE("in a mixed compressed-tensors checkpoint the tensors tell which group a module is of", "[io]") {
    compressed_config config{.bits = 8, .group_size = 8};
    config.variants = {{.bits = 4, .group_size = 4}, {.bits = 4, .group_size = 8, .sym = false}, worked_config};
    const temp_folder folder;
    const auto file = safetensors::open(write_module(folder, worked_module()));
    CHECK(load_compressed(file, "m", config).weight_packed == worked_words);
    CHECK(load_compressed(file, "m", config).bits == 4);
    config.variants.pop_back();
    CHECK_THROWS_AS(load_compressed(file, "m", config), gptq::format_error);
}

}  // namespace compressed_tensors_test
