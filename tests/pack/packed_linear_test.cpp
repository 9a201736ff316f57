// Packing against the worked examples of docs/formats.md, and there and back for every width and ragged shape.
#include <gptq/pack/packed_linear.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "io/raw_file.hpp"
#include "pack/random_layer.hpp"
#include "support/catch.hpp"
#include "support/without_last.hpp"

namespace packed_linear_test {

using gptq::affine;
using gptq::packed_linear;
using gptq::quantized;
using gptq::uniform_grid;
using gptq::zero_format;
using words = std::vector<std::uint32_t>;

namespace {

/// One row of these codes, one group, scale 0.5, the zero point of a symmetric grid.
quantized<uniform_grid> one_row(unsigned bits, const std::vector<std::uint8_t>& codes) {
    const affine p{0.5F, static_cast<float>(1U << (bits - 1))};
    return {{.bits = bits, .group_size = gptq::per_row}, 1, codes.size(), codes, {p},
            std::vector<std::int32_t>(codes.size())};
}

/// One column, whose outputs have these zero points.
quantized<uniform_grid> one_column(unsigned bits, const std::vector<float>& zeros) {
    quantized<uniform_grid> q{{.bits = bits, .group_size = gptq::per_row, .sym = false},
                              zeros.size(),
                              1,
                              std::vector<std::uint8_t>(zeros.size()),
                              {},
                              {0}};
    for (const float zero : zeros) q.parameters.push_back({1.0F, zero});
    return q;
}

std::vector<std::uint8_t> counting(std::size_t count, unsigned modulus) {
    std::vector<std::uint8_t> codes(count);
    for (std::size_t i = 0; i < count; ++i) codes[i] = static_cast<std::uint8_t>(i % modulus);
    return codes;
}

}  // namespace

TEST_CASE("the first code lies in the lowest bits of a word", "[pack]") {
    CHECK(pack(one_row(4, {1, 2, 3, 4, 5, 6, 7, 8})).qweight == words{0x87654321});
    CHECK(pack(one_row(2, counting(16, 4))).qweight == words{0xE4E4E4E4});
    CHECK(pack(one_row(8, {1, 2, 3, 255})).qweight == words{0xFF030201});
}

TEST_CASE("32 codes of 3 bits fill three words without a gap", "[pack]") {
    CHECK(pack(one_row(3, counting(32, 8))).qweight == words{0x88FAC688, 0xC688FAC6, 0xFAC688FA});
}

TEST_CASE("symmetric zero points make the words that other writers make", "[pack]") {
    const auto zeros = [](unsigned bits, std::size_t outputs, zero_format format) {
        return pack(one_column(bits, std::vector<float>(outputs, static_cast<float>(1U << (bits - 1)))), format).qzeros;
    };
    CHECK(zeros(2, 16, zero_format::v1) == words{0x55555555});
    CHECK(zeros(2, 16, zero_format::v2) == words{0xAAAAAAAA});
    CHECK(zeros(4, 8, zero_format::v1) == words{0x77777777});
    CHECK(zeros(4, 8, zero_format::v2) == words{0x88888888});
    CHECK(zeros(8, 4, zero_format::v1) == words{0x7F7F7F7F});
    CHECK(zeros(8, 4, zero_format::v2) == words{0x80808080});
    CHECK(zeros(3, 32, zero_format::v1) == words{0xDB6DB6DB, 0xB6DB6DB6, 0x6DB6DB6D});
    CHECK(zeros(3, 32, zero_format::v2) == words{0x24924924, 0x49249249, 0x92492492});
}

TEST_CASE("a whole module packs to the documented words and means the documented weights", "[pack]") {
    quantized<uniform_grid> q{{.bits = 4, .group_size = 8}, 8, 8, {}, std::vector<affine>(8, {0.5F, 8.0F}),
                              std::vector<std::int32_t>(8)};
    for (unsigned o = 0; o < 8; ++o)
        for (unsigned i = 0; i < 8; ++i) q.codes.push_back(static_cast<std::uint8_t>((i + o) % 16));
    const packed_linear p = pack(q);
    CHECK(p.qweight ==
          words{0x76543210, 0x87654321, 0x98765432, 0xA9876543, 0xBA987654, 0xCBA98765, 0xDCBA9876, 0xEDCBA987});
    CHECK(p.zeros == zero_format::v1);
    CHECK(p.qzeros == words{0x77777777});
    CHECK(p.scales == std::vector<float>(8, 0.5F));
    CHECK(p.g_idx == std::vector<std::int32_t>(8, 0));
    CHECK(value_at(p, 0, 0) == -4.0F);
    CHECK(value_at(p, 7, 7) == 3.0F);
}

TEST_CASE("a zero point of 0 is refused by v1, held by v2, and makes the default v2", "[pack]") {
    const auto q = one_column(4, {0, 8, 8, 8, 8, 8, 8, 8});
    CHECK_THROWS_AS(pack(q, zero_format::v1), gptq::option_error);
    CHECK(pack(q, zero_format::v2).qzeros == words{0x88888880});
    CHECK(pack(q).zeros == zero_format::v2);
    CHECK(pack(one_column(4, {1, 8})).zeros == zero_format::v1);
}

TEST_CASE("unused bits of the last words are 0", "[pack]") {
    CHECK(pack(one_row(4, {15})).qweight == words{0x0000000F});
    CHECK(pack(one_row(3, {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7})).qweight == words{0xFFFFFFFF, 0x00000001});
    CHECK(pack(one_column(2, {3, 3, 3}), zero_format::v2).qzeros == words{0x0000003F});
}

TEST_CASE("what was packed unpacks to the same codes, scales, zero points and groups", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 8U);
    const auto [out, in, group_size] = GENERATE(table<std::size_t, std::size_t, std::ptrdiff_t>(
        {{1, 1, -1}, {1, 1, 128}, {7, 33, -1}, {7, 33, 32}, {5, 96, 32}, {5, 96, 7}, {33, 7, 2}, {32, 64, 64}}));
    const auto format = GENERATE(zero_format::v1, zero_format::v2);
    const bool shuffled = GENERATE(false, true);
    CAPTURE(bits, out, in, group_size, shuffled);

    const auto q = random_layer(out, in, {.bits = bits, .group_size = group_size}, shuffled);
    const packed_linear p = pack(q, format);
    CHECK(p.qweight.size() == (in * bits + 31) / 32 * out);
    CHECK(p.qzeros.size() == q.groups() * ((out * bits + 31) / 32));
    const auto back = unpack(p, group_size);
    CHECK(back.codes == q.codes);
    CHECK(back.parameters == q.parameters);
    CHECK(back.g_idx == q.g_idx);
    CHECK(back.grid.bits == bits);
    CHECK(back.groups() == q.groups());

    std::size_t wrong = 0;
    for (std::size_t o = 0; o < out; ++o)
        for (std::size_t i = 0; i < in; ++i) wrong += value_at(p, o, i) != q.value(o, i);
    CHECK(wrong == 0);
}

TEST_CASE("unpacking finds out whether a layer is symmetric", "[pack]") {
    CHECK(unpack(pack(one_column(4, {8, 8})), gptq::per_row).grid.sym);
    CHECK_FALSE(unpack(pack(one_column(4, {8, 7})), gptq::per_row).grid.sym);
}

TEST_CASE("stored_bytes counts the bytes of all tensors", "[pack]") {
    packed_linear p = pack(random_layer(8, 64, {.bits = 4, .group_size = 32}));
    // qweight 8·8 words, qzeros 2·1, g_idx 64, scales 2·8 of two bytes
    CHECK(stored_bytes(p) == 4 * (64 + 2 + 64) + 2 * 16);
    p.bias.assign(8, 0.0F);
    CHECK(stored_bytes(p) == 4 * (64 + 2 + 64) + 2 * 24);
}

TEST_CASE("a layer whose parts disagree is refused", "[pack]") {
    const packed_linear good = pack(random_layer(8, 64, {.bits = 4, .group_size = 32}));
    CHECK_NOTHROW(check(good));
    const auto refused = [&good](auto spoil) {
        packed_linear p = good;
        spoil(p);
        check(p);
    };
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.bits = 5; }), gptq::option_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.out_features = 0; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.qweight = without_last(p.qweight); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.qzeros.pop_back(); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.scales.pop_back(); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.g_idx.pop_back(); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.bias.resize(7); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.g_idx[3] = 2; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.g_idx[3] = -1; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.scales[3] = std::numeric_limits<float>::infinity(); }),
                    gptq::numeric_error);
    CHECK_THROWS_AS(refused([](packed_linear& p) { p.scales[3] = std::numeric_limits<float>::quiet_NaN(); }),
                    gptq::numeric_error);
}

TEST_CASE("pack refuses what the grid does not have, at its very edge", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U);
    const auto good = random_layer(8, 64, {.bits = bits, .group_size = 32});
    const auto maxq = static_cast<float>(good.grid.maxq());
    const char* const accepted = "(nothing was thrown)";
    const auto complaint = [&good](auto spoil) {
        auto q = good;
        spoil(q);
        return message_of<gptq::option_error>([&] { (void)pack(q); });
    };
    const auto last_code = [](unsigned code) {
        return [code](auto& q) {
            std::fill(q.codes.begin(), q.codes.end(), std::uint8_t{0});
            q.codes.back() = static_cast<std::uint8_t>(code);
        };
    };
    const auto zero = [](float value) { return [value](auto& q) { q.parameters[3].zero = value; }; };
    CHECK(complaint(last_code(good.grid.maxq())) == accepted);
    CHECK(contains(complaint(last_code(good.grid.maxq() + 1)), "a code is " + std::to_string(good.grid.maxq() + 1)));
    CHECK(complaint(zero(maxq)) == accepted);
    for (const float wrong : {maxq + 1, -1.0F, 0.5F, std::numeric_limits<float>::quiet_NaN()})
        CHECK(contains(complaint(zero(wrong)), "pack: a zero point is "));
    CHECK(complaint([](auto& q) { q.parameters[3].scale = 0.1F; }) ==
          "pack: a scale of 0.1 is not a value of f16, in which the grid stores scales; round it with rounded_to, or "
          "store f32");
}

TEST_CASE("a zero point that v1 stores as all ones is 0", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 8U);
    packed_linear p = pack(random_layer(32, 32, {.bits = bits, .group_size = -1}), zero_format::v1);
    std::fill(p.qzeros.begin(), p.qzeros.end(), ~0U);
    const auto q = unpack(p, gptq::per_row);
    for (std::size_t o = 0; o < p.out_features; ++o) {
        REQUIRE(gptq::zero_at(p, o, 0) == 0);
        REQUIRE(q.parameters[o].zero == 0);
    }
}

TEST_CASE("widths without a GPTQ layout are refused", "[pack]") {
    const unsigned bits = GENERATE(5U, 6U, 7U);
    CHECK_THROWS_AS(pack(random_layer(4, 32, {.bits = bits}), zero_format::v2), gptq::option_error);
}

}  // namespace packed_linear_test
