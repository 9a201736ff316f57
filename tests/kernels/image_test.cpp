// Tests include/gptq/kernels/image.hpp and linear's way from bytes: what is stored and mapped back, what is refused.
#include <gptq/kernels/image.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/kernels/gemv.hpp>
#include <gptq/kernels/linear.hpp>

#include "support/catch.hpp"
#include "support/random_layer.hpp"

using gptq::image_header;
using support::random_layer;

namespace {

std::vector<std::byte> image_of(const gptq::linear& layer) {
    const auto image = layer.image();
    return {image.begin(), image.end()};
}

/// An image with another number somewhere.
template <class T>
std::vector<std::byte> with(std::vector<std::byte> image, std::size_t offset, T value) {
    gptq::impl::store_little_endian(image.data() + offset, value);
    return image;
}

bool refused(const std::vector<std::byte>& image) {
    try {
        (void)gptq::linear(gptq::shared_array<std::byte>(image));
        return false;
    } catch (const gptq::error&) {
        return true;
    }
}

}  // namespace

TEST_CASE("a layer from its image multiplies to the same bits", "[kernels]") {
    std::mt19937 random(91);
    for (int i = 0; i < 200; ++i) {
        const auto options = support::any_options(random);
        INFO("case " << i << ": " << support::describe(options));
        const gptq::linear layer(random_layer(random, options));
        const gptq::linear again{gptq::shared_array<std::byte>(image_of(layer))};
        REQUIRE(again.layout() == layer.layout());
        REQUIRE(again.bytes() == layer.bytes());
        const auto x = support::normal_values(random, options.in);
        std::vector<float> y(options.out), z(options.out);
        gptq::gemv(layer, x, y);
        gptq::gemv(again, x, z);
        REQUIRE(y == z);
    }
}

TEST_CASE("the image of a layer is the same each time, and aligned", "[kernels]") {
    std::mt19937 random(92);
    for (int i = 0; i < 50; ++i) {
        const auto packed = random_layer(random, support::any_options(random));
        const gptq::linear a(packed), b(packed);
        CHECK(image_of(a) == image_of(b));
        CHECK(a.image().size() % 64 == 0);
        CHECK(reinterpret_cast<std::uintptr_t>(a.tile(0).words) % 64 == 0);
    }
}

TEST_CASE("an image is used where it lies, or copied to where kernels can read it", "[kernels]") {
    std::mt19937 random(93);
    const gptq::linear layer(random_layer(random, {.out = 40, .in = 256}));
    const auto bytes = std::make_shared<std::vector<gptq::line>>(layer.image().size() / 64 + 1);
    auto* begin = reinterpret_cast<std::byte*>(bytes->data());
    std::ranges::copy(layer.image(), begin);
    const gptq::linear mapped{
        gptq::shared_array<std::byte>(std::span<const std::byte>(begin, layer.image().size()), bytes)};
    constexpr bool in_place = gptq::impl::is_little_endian;
    CHECK((mapped.image().data() == begin) == in_place);
    CHECK((gptq::linear(mapped).image().data() == begin) == in_place);  // copies share

    std::ranges::copy_backward(std::span(begin, layer.image().size()), begin + 4 + layer.image().size());
    const gptq::linear moved{
        gptq::shared_array<std::byte>(std::span<const std::byte>(begin + 4, layer.image().size()), bytes)};
    CHECK(moved.image().data() != begin + 4);
    CHECK(image_of(moved) == image_of(layer));
}

TEST_CASE("the layout of an image does not change by accident", "[kernels]") {
    gptq::packed_linear p;
    p.out_features = 1;
    p.in_features = 32;
    p.groups = 1;
    p.bits = 4;
    p.zeros = gptq::zero_format::v2;
    p.qweight = std::vector<std::uint32_t>{0x7654'3210, 0xFEDC'BA98, 0x0123'4567, 0x89AB'CDEF};
    p.qzeros = {8};
    p.scales = {0.5F};
    p.g_idx.resize(32);
    p.bias = {3};
    const auto image = image_of(gptq::linear(p));
    const auto word = [&](std::size_t at) { return gptq::impl::load_little_endian<std::uint32_t>(image.data() + at); };
    REQUIRE(image.size() == 64 * (1 + 4 + 1 + 1 + 1 + 1));
    CHECK(word(8) == 1);             // version
    CHECK(word(64) == 0x7654'3210);  // words of 4 bits are the checkpoint's
    CHECK(word(64 + 3 * 64) == 0x89AB'CDEF);
    CHECK(word(64 + 4) == 0);         // of an output that is not there
    CHECK(word(320) == 0x3800);       // f16 0.5
    CHECK(word(384) == 8);            // the zero point
    CHECK(word(448) == 0);            // the block's group
    CHECK(word(512) == 0x4040'0000);  // the bias, 3.0F
}

TEST_CASE("an image whose header is wrong is refused with the field and what was expected", "[kernels]") {
    std::mt19937 random(94);
    const auto good =
        image_of(gptq::linear(random_layer(random, {.out = 40, .in = 200, .act_order = true, .bias = true})));
    REQUIRE_FALSE(refused(good));
    const auto reading = [](const std::vector<std::byte>& image) {
        (void)gptq::linear(gptq::shared_array<std::byte>(image));
    };
    CHECK_THROWS_WITH(reading(with(good, 0, 'X')),
                      "linear: the image does not begin with 'GPTQTILE': these are no re-tiled weights");
    CHECK_THROWS_WITH(reading(with(good, 8, std::uint32_t{2})),
                      "linear: the image's version is 2, expected 1; make the image anew with this library");
    CHECK_THROWS_WITH(reading(with(good, 12, std::uint32_t{5})),
                      "linear: the image's bits is 5, expected 2, 3, 4 or 8");
    auto cut = good;
    cut.pop_back();
    CHECK_THROWS_WITH(reading(cut), ContainsSubstring("it is cut short"));
    auto longer = good;
    longer.push_back(std::byte{0});
    CHECK_THROWS_WITH(reading(longer), ContainsSubstring("something follows it"));
    CHECK(refused({good.begin(), good.begin() + 63}));
    CHECK(refused({}));
}

TEST_CASE("no number in a header makes linear read elsewhere or ask for memory", "[kernels]") {
    std::mt19937 random(95);
    const auto good =
        image_of(gptq::linear(random_layer(random, {.out = 40, .in = 200, .act_order = true, .bias = true})));
    for (const std::size_t offset : {16U, 20U, 24U, 28U})
        for (const std::uint32_t value : {0U, 1U, 2U, 3U, 31U, 33U, 0x8000'0000U, 0xFFFF'FFFFU})
            if (gptq::impl::load_little_endian<std::uint32_t>(good.data() + offset) != value &&
                !(offset == 20 && value == 1)) {  // bf16 for f16
                INFO("u32 at " << offset << " is " << value);
                CHECK(refused(with(good, offset, value)));
            }
    for (const std::size_t offset : {32U, 40U, 48U, 56U})
        for (const std::uint64_t value :
             {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 31, std::uint64_t{1} << 32,
              std::uint64_t{1} << 60, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
            INFO("u64 at " << offset << " is " << value);
            CHECK(refused(with(good, offset, value)));
        }
}

TEST_CASE("outputs that no tile count can hold are refused", "[kernels]") {
    std::mt19937 random(98);
    auto image = image_of(gptq::linear(random_layer(random, {.out = 16, .in = 32, .group_size = 32})));
    image = with(image, 32, ~std::uint64_t{0});  // rounded up to tiles: none
    image.resize(128);                           // what a layer without tiles takes
    CHECK(refused(image));
}

TEST_CASE("an image whose columns, groups or scales are wrong is refused", "[kernels]") {
    std::mt19937 random(96);
    const auto packed = random_layer(random, {.out = 16, .in = 128, .group_size = 64, .act_order = true});
    const gptq::linear layer(packed);
    const auto good = image_of(layer);
    const auto at = gptq::impl::places_of(gptq::impl::checked_header(good));
    const auto second = gptq::impl::load_little_endian<std::uint32_t>(good.data() + at.columns + 4);
    CHECK(refused(with(good, at.columns, second)));                        // twice
    CHECK(refused(with(good, at.columns, std::uint32_t{128})));            // not there
    CHECK(refused(with(good, at.columns, gptq::column_layout::padding)));  // one is missing
    CHECK(refused(with(good, at.group_of_block, std::uint32_t{2})));
    CHECK(refused(with(good, at.scales + 6, std::uint16_t{0x7C00})));
    CHECK_FALSE(refused(with(good, at.zeros, std::uint8_t{255})));  // any zero point is one
}

TEST_CASE("random damage is refused or harmless", "[kernels]") {
    std::mt19937 random(97);
    const auto good =
        image_of(gptq::linear(random_layer(random, {.out = 20, .in = 100, .bits = 3, .act_order = true})));
    std::vector<float> x(100, 1), y(20);
    int refused = 0, harmless = 0;
    for (int i = 0; i < 3000; ++i) {
        auto image = good;
        for (std::size_t k = 0; k <= support::below(random, 3); ++k)
            image[support::below(random, i % 2 == 0 ? 64 : image.size())] = static_cast<std::byte>(random());
        try {
            const gptq::linear layer{gptq::shared_array<std::byte>(image)};
            x.resize(layer.in_features());
            y.resize(layer.out_features());
            gptq::gemv(layer, x, y);  // whatever it is, nothing is read elsewhere: the sanitizers look
            ++harmless;
        } catch (const gptq::error&) {
            ++refused;
        }
    }
    CHECK(refused > 1000);  // half of the damage is to the header
    CHECK(harmless > 500);  // codes and zero points may be any
}
