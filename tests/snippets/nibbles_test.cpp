// The toy format's tests, those that any format has: there and back, what it cannot hold, what is no such file, and
// who loads it.
#include "snippets/nibbles.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <gptq/io/safetensors.hpp>

#include "io/module_file.hpp"
#include "io/raw_file.hpp"
#include "pack/random_layer.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace {

gptq::packed_linear symmetric_layer(std::size_t out, std::size_t in, std::ptrdiff_t group_size) {
    auto q = random_layer(out, in, {.bits = 4, .group_size = group_size});
    for (auto& parameters : q.parameters) parameters.zero = 8;
    return gptq::pack(q);
}

void save(const temp_folder& folder, const gptq::packed_linear& p) {
    gptq::io::safetensors_writer writer(folder / "model.safetensors",
                                        gptq::io::declare_nibbles("m", p.out_features, p.in_features, p.groups));
    for (const auto& tensor : gptq::io::nibble_tensors("m", p)) writer.write(tensor.declaration.name, tensor.bytes);
    writer.finish();
}

TEST_CASE("a layer comes back from the toy format's file as it was") {
    for (const auto& [out, in, group_size] : {std::tuple{5, 64, 32}, {1, 2, -1}, {16, 96, 48}}) {
        const temp_folder folder;
        const auto layer = symmetric_layer(static_cast<std::size_t>(out), static_cast<std::size_t>(in), group_size);
        save(folder, layer);
        const auto loaded = gptq::io::load_nibbles(gptq::io::safetensors::open(folder / "model.safetensors"), "m");
        CHECK(loaded.qweight == layer.qweight);
        CHECK(loaded.qzeros == layer.qzeros);
        CHECK(loaded.scales == layer.scales);
        CHECK(loaded.g_idx == layer.g_idx);
    }
}

TEST_CASE("the toy format's first nibble is the low one") {
    gptq::quantized<gptq::uniform_grid> q{{.bits = 4, .group_size = 2}, 1, 2, {3, 12}, {{1, 8}}, {0, 0}};
    CHECK(gptq::to_nibbles(gptq::pack(q)).nibbles == std::vector<std::uint8_t>{0xC3});
}

TEST_CASE("what the toy format cannot say is refused") {
    const auto layer = symmetric_layer(4, 64, 32);
    const auto refused = [&](auto change) {
        auto other = layer;
        change(other);
        CHECK_THROWS_AS(gptq::to_nibbles(other), gptq::option_error);
    };
    refused([](auto& p) { p = gptq::pack(random_layer(4, 64, {.bits = 4, .group_size = 32})); });
    refused([](auto& p) { p = gptq::pack(random_layer(4, 64, {.bits = 8, .group_size = 32})); });
    refused([](auto& p) { std::swap(p.g_idx[0], p.g_idx[63]); });
    refused([](auto& p) { p.stored_scales = gptq::scale_type::f32; });
    refused([](auto& p) { p.bias.resize(4); });
}

TEST_CASE("a file that is not of the toy format is refused with the tensor's name") {
    using gptq::io::dtype;
    const module_contents good = {{"nibbles", {dtype::U8, {2, 4}, std::string(8, '\0')}},
                                  {"scales", {dtype::F16, {2, 1}, std::string(4, '\0')}}};
    const auto refusal = [&](const std::string& suffix, tensor_contents contents) {
        auto bad = good;
        bad[suffix] = std::move(contents);
        const temp_folder folder;
        const auto file = gptq::io::safetensors::open(write_module(folder, bad));
        return message_of<gptq::format_error>([&] { (void)gptq::io::load_nibbles(file, "m"); });
    };
    CHECK(refusal("nibbles", good.at("nibbles")) == "(nothing was thrown)");
    CHECK(contains(refusal("nibbles", {dtype::I8, {2, 4}, std::string(8, '\0')}), "'m.nibbles': is I8, expected U8"));
    CHECK(contains(refusal("nibbles", {dtype::U8, {8}, std::string(8, '\0')}), "'m.nibbles': shape is [8]"));
    CHECK(contains(refusal("scales", {dtype::F16, {1, 2}, std::string(4, '\0')}), "'m.scales': shape is [1, 2]"));
    CHECK(contains(refusal("scales", {dtype::F16, {2, 0}, ""}), "'m.scales': nibble_linear: 2 x 8 in 0 groups"));
    CHECK(contains(refusal("scales", {dtype::F16, {2, 3}, std::string(12, '\0')}), "a multiple of 2 and of 3 groups"));
    CHECK(contains(refusal("scales", {dtype::F16, {2, 1}, std::string("\0\x7C\0\0", 4)}), "is not finite"));
}

TEST_CASE("the toy format's loaders say what they mind") {
    const gptq::io::layer_facts layer{.out_features = 64, .in_features = 64, .config = {.bits = 4, .group_size = 16}};
    const auto refusals = gptq::io::refusals(layer, gptq::io::nibble_loaders);
    REQUIRE(refusals.size() == 1);
    CHECK(refusals[0].reasons == std::vector<std::string>{"group_size is 16, expected -1, 32, 64 or 128"});
}

}  // namespace
