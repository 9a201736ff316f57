// compressed-tensors' layout against its worked examples, and there and back for all widths and shapes.
#include <gptq/pack/compressed.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "io/raw_file.hpp"
#include "pack/random_layer.hpp"
#include "support/catch.hpp"
#include "support/without_last.hpp"

namespace compressed_test {

using gptq::affine;
using gptq::compressed_linear;
using gptq::packed_linear;
using gptq::quantized;
using gptq::uniform_grid;
using gptq::zero_format;
using words = std::vector<std::uint32_t>;

namespace {

quantized<uniform_grid> worked_module() {
    quantized<uniform_grid> q{{.bits = 4, .group_size = 8}, 8, 8, {}, std::vector<affine>(8, {0.5F, 8.0F}),
                              std::vector<std::int32_t>(8)};
    for (unsigned o = 0; o < 8; ++o)
        for (unsigned i = 0; i < 8; ++i) q.codes.push_back(static_cast<std::uint8_t>(i + o));
    return q;
}

/// Weight (o, i) as the format has it: signed codes and zero points, an offset of half the range on both in the file.
float value_at(const compressed_linear& c, std::size_t o, std::size_t i) {
    const int half = 1 << (c.bits - 1);
    const auto k =
        c.weight_g_idx.empty() ? i / (c.in_features / c.groups) : static_cast<std::size_t>(c.weight_g_idx[i]);
    const std::uint32_t* row = c.weight_packed.data() + o * gptq::words_for(c.in_features, c.bits);
    const int code = static_cast<int>(gptq::field(row, 1, i, c.bits)) - half;
    int zero = 0;
    if (!c.weight_zero_point.empty())
        zero = static_cast<int>(gptq::field(c.weight_zero_point.data() + k, c.groups, o, c.bits)) - half;
    return c.weight_scale[o * c.groups + k] * static_cast<float>(code - zero);
}

quantized<uniform_grid> symmetric(quantized<uniform_grid> q) {
    for (affine& a : q.parameters) a.zero = static_cast<float>(1U << (q.grid.bits - 1));
    return q;
}

}  // namespace

TEST_CASE("the worked module packs to compressed-tensors' words, which are columns of GPTQ's", "[pack]") {
    const compressed_linear c = pack_compressed(worked_module(), true);
    CHECK(c.weight_packed ==
          words{0x76543210, 0x87654321, 0x98765432, 0xA9876543, 0xBA987654, 0xCBA98765, 0xDCBA9876, 0xEDCBA987});
    CHECK(c.weight_packed == pack(worked_module()).qweight);
    CHECK(c.weight_scale == std::vector<float>(8, 0.5F));
    CHECK(c.weight_zero_point.empty());
    CHECK(c.weight_g_idx.empty());
    CHECK(value_at(c, 0, 0) == -4.0F);
    CHECK(value_at(c, 7, 7) == 3.0F);
    CHECK(pack_compressed(worked_module(), false).weight_zero_point == words{0x88888888});
}

TEST_CASE("signed codes -8 … -1 are the word 76543210", "[pack]") {
    quantized<uniform_grid> q{{.bits = 4, .group_size = -1}, 1, 8, {0, 1, 2, 3, 4, 5, 6, 7}, {{1.0F, 8.0F}},
                              std::vector<std::int32_t>(8)};
    const compressed_linear c = pack_compressed(q, true);
    CHECK(c.weight_packed == words{0x76543210});
    for (std::size_t i = 0; i < 8; ++i) CHECK(value_at(c, 0, i) == static_cast<float>(i) - 8.0F);
}

TEST_CASE("a layer means the same in compressed-tensors, and its codes come back, for all widths and shapes",
          "[pack]") {
    const unsigned bits = GENERATE(range(2U, 9U));
    const auto [out, in, group_size] = GENERATE(table<std::size_t, std::size_t, std::ptrdiff_t>(
        {{1, 1, -1}, {3, 20, -1}, {7, 33, 11}, {5, 96, 32}, {33, 8, 2}, {32, 320, 64}}));
    const bool shuffled = GENERATE(false, true), sym = GENERATE(false, true);
    CAPTURE(bits, out, in, group_size, shuffled, sym);
    auto q = random_layer(out, in, {.bits = bits, .group_size = group_size}, shuffled);
    if (sym) q = symmetric(q);
    const compressed_linear c = pack_compressed(q, sym);
    CHECK(c.weight_packed.size() == out * ((in * bits + 31) / 32));
    CHECK(c.weight_zero_point.size() == (sym ? 0 : (out * bits + 31) / 32 * q.groups()));

    std::size_t wrong = 0;
    for (std::size_t o = 0; o < out; ++o)
        for (std::size_t i = 0; i < in; ++i) wrong += value_at(c, o, i) != q.value(o, i);
    CHECK(wrong == 0);

    const auto back = unpack(c);
    CHECK(back.codes == q.codes);
    CHECK(back.parameters == q.parameters);
    CHECK(back.g_idx == q.g_idx);
    CHECK(back.grid.sym == (sym || q.parameters == symmetric(q).parameters));
    CHECK(back.grid.bits == bits);
}

TEST_CASE("a GPTQ layer is the same after compressed-tensors", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 8U);
    const auto [out, in, group_size] = GENERATE(table<std::size_t, std::size_t, std::ptrdiff_t>(
        {{1, 1, -1}, {7, 33, 11}, {5, 96, 32}, {33, 8, 2}, {130, 320, 64}}));
    const bool shuffled = GENERATE(false, true), sym = GENERATE(false, true);
    const auto format = GENERATE(zero_format::v1, zero_format::v2);
    CAPTURE(bits, out, in, group_size, shuffled, sym);
    auto q = random_layer(out, in, {.bits = bits, .group_size = group_size}, shuffled);
    if (sym) q = symmetric(q);
    packed_linear p = pack(q, format);
    if (out > 5) p.bias.assign(out, -2.0F);
    const compressed_linear c = to_compressed(p, sym);
    const compressed_linear direct = pack_compressed(q, sym);
    CHECK(c.weight_packed == direct.weight_packed);
    CHECK(c.weight_scale == direct.weight_scale);
    CHECK(c.weight_zero_point == direct.weight_zero_point);
    CHECK(c.weight_g_idx == direct.weight_g_idx);

    const packed_linear back = to_gptq(c);
    CHECK(back.zeros == zero_format::v1);  // neither has a zero point of 0
    CHECK(back.qweight == p.qweight);
    CHECK(back.qzeros == pack(q, zero_format::v1).qzeros);
    CHECK(back.scales == p.scales);
    CHECK(back.g_idx == p.g_idx);
    CHECK(back.bias == p.bias);
}

TEST_CASE("a zero point of 0 is compressed-tensors' lowest, and makes GPTQ v2", "[pack]") {
    auto q = worked_module();
    q.parameters[0].zero = 0;
    const packed_linear p = pack(q);
    CHECK(p.zeros == zero_format::v2);
    const compressed_linear c = to_compressed(p, false);
    CHECK(c.weight_zero_point == words{0x88888880});
    CHECK(to_gptq(c).zeros == zero_format::v2);
    CHECK(to_gptq(c).qzeros == p.qzeros);
}

TEST_CASE("what compressed-tensors or GPTQ cannot hold is refused with the way out", "[pack]") {
    const auto refusal = [](auto f) { return message_of<gptq::option_error>(f); };
    const auto ragged = random_layer(4, 12, {.bits = 4, .group_size = 8});
    const std::string unequal =
        "to_compressed: 12 inputs are in 2 groups of unequal size, which compressed-tensors cannot hold: keep GPTQ, or "
        "quantize again with a group size that divides them";
    CHECK(refusal([&] { (void)to_compressed(pack(ragged), false); }) == unequal);
    CHECK(refusal([&] { (void)pack_compressed(ragged, false); }) == unequal);
    const auto asymmetric = random_layer(4, 16, {.bits = 4, .group_size = 8});
    const std::string zeros =
        "to_compressed: a zero point is not 8, and a symmetric checkpoint does not store it: make it asymmetric";
    CHECK(refusal([&] { (void)to_compressed(pack(asymmetric), true); }) == zeros);
    CHECK(refusal([&] { (void)pack_compressed(asymmetric, true); }) == zeros);
    const auto five = pack_compressed(random_layer(4, 16, {.bits = 5, .group_size = 8}), false);
    CHECK(refusal([&] { (void)to_gptq(five); }) ==
          "to_gptq: bits is 5, expected 2, 3, 4 or 8; unpack gives the codes of all widths");
}

TEST_CASE("a compressed layer whose parts disagree is refused", "[pack]") {
    const compressed_linear good = pack_compressed(random_layer(8, 64, {.bits = 4, .group_size = 32}, true), false);
    CHECK_NOTHROW(check(good));
    const auto refused = [&good](auto spoil) {
        compressed_linear c = good;
        spoil(c);
        (void)unpack(c);
    };
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.bits = 9; }), gptq::option_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.bits = 1; }), gptq::option_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.out_features = 0; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.out_features = ~std::size_t{0} / 2 + 1; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.in_features = ~std::size_t{0} / 4 + 1; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.groups = 3; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.weight_packed = without_last(c.weight_packed); }),
                    gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.weight_scale.pop_back(); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.weight_zero_point.pop_back(); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.weight_g_idx.pop_back(); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.weight_g_idx[3] = 2; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.weight_g_idx[3] = -1; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.weight_g_idx.assign(64, 1); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.bias.resize(7); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](compressed_linear& c) { c.weight_scale[3] = std::numeric_limits<float>::infinity(); }),
                    gptq::numeric_error);
}

}  // namespace compressed_test
