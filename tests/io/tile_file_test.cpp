// Tests include/gptq/io/tile_file.hpp: re-tiled layers, stored and mapped back.
#include <gptq/io/tile_file.hpp>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include <gptq/io/safetensors.hpp>
#include <gptq/kernels/gemv.hpp>

#include "support/catch.hpp"
#include "support/random_layer.hpp"
#include "support/temp_folder.hpp"

namespace tile_file_test {

using support::random_layer;

TEST_CASE("layers come back from a file, mapped where they lie", "[io]") {
    std::mt19937 random(1);
    const temp_folder folder;
    const auto path = folder / "tiles.safetensors";
    const gptq::linear down(random_layer(random, {.out = 40, .in = 256, .act_order = true, .bias = true}));
    const gptq::linear up(random_layer(random, {.out = 33, .in = 100, .bits = 3, .group_size = -1}));
    gptq::io::save_tiles(path, {{"down", down}, {"up", up}});

    const auto file = gptq::io::safetensors::open(path);
    CHECK(file.metadata().at("gptq_file") == "tiles");
    for (const auto& [name, layer] : {gptq::io::named_layer{"down", down}, gptq::io::named_layer{"up", up}}) {
        const auto loaded = gptq::io::load_tiles(file, name);
        CHECK((loaded.image().data() == file.at(name).bytes.data()) == gptq::impl::is_little_endian);
        CHECK(reinterpret_cast<std::uintptr_t>(file.at(name).bytes.data()) % 64 == 0);
        const auto x = support::normal_values(random, layer.in_features());
        std::vector<float> y(layer.out_features()), z(layer.out_features());
        gptq::gemv(layer, x, y);
        gptq::gemv(loaded, x, z);
        CHECK(y == z);
    }
}

TEST_CASE("a layer outlives the file object it was mapped from", "[io]") {
    std::mt19937 random(2);
    const temp_folder folder;
    const gptq::linear layer(random_layer(random, {.out = 16, .in = 128}));
    gptq::io::save_tiles(folder / "t.safetensors", {{"layer", layer}});
    const auto loaded = gptq::io::load_tiles(gptq::io::safetensors::open(folder / "t.safetensors"), "layer");
    CHECK(std::ranges::equal(loaded.image(), layer.image()));
}

TEST_CASE("what is no image is refused with the tensor's name", "[io]") {
    std::mt19937 random(3);
    const temp_folder folder;
    const auto path = folder / "t.safetensors";
    const gptq::linear layer(random_layer(random, {.out = 16, .in = 128}));
    const auto good = layer.image();
    std::vector<std::byte> image(good.begin(), good.end());
    image[8] = std::byte{9};
    gptq::io::safetensors_writer writer(
        path, std::vector<gptq::io::tensor_declaration>{{"wrong", gptq::io::dtype::U8, {image.size()}},
                                                        {"float", gptq::io::dtype::F32, {1}}});
    writer.write("wrong", image);
    writer.append_zeros("float", 4);
    writer.finish();
    const auto file = gptq::io::safetensors::open(path);
    CHECK_THROWS_WITH(gptq::io::load_tiles(file, "wrong"),
                      path.string() +
                          ": tensor 'wrong': linear: the image's version is 9, expected 1; make the image "
                          "anew with this library");
    CHECK_THROWS_AS(gptq::io::load_tiles(file, "float"), gptq::format_error);
    CHECK_THROWS_AS(gptq::io::load_tiles(file, "absent"), gptq::format_error);
    CHECK_THROWS_AS(gptq::io::save_tiles(path, {{"a", layer}, {"a", layer}}), gptq::option_error);
}

}  // namespace tile_file_test
