// AWQ's layout against its worked examples, and there and back for all shapes; what it cannot hold is refused.
#include <gptq/pack/awq.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "io/raw_file.hpp"
#include "pack/random_layer.hpp"
#include "support/catch.hpp"
#include "support/without_last.hpp"

namespace awq_test {

using gptq::affine;
using gptq::awq_linear;
using gptq::packed_linear;
using gptq::quantized;
using gptq::uniform_grid;
using gptq::zero_format;
using words = std::vector<std::uint32_t>;

namespace {

/// The worked module: 8 x 8, 4 bits, one group, scale 0.5, zero point 8, code (i + o) mod 16.
quantized<uniform_grid> worked_module() {
    quantized<uniform_grid> q{{.bits = 4, .group_size = 8}, 8, 8, {}, std::vector<affine>(8, {0.5F, 8.0F}),
                              std::vector<std::int32_t>(8)};
    for (unsigned o = 0; o < 8; ++o)
        for (unsigned i = 0; i < 8; ++i) q.codes.push_back(static_cast<std::uint8_t>(i + o));
    return q;
}

std::uint32_t nibble(std::uint32_t word, std::size_t n) { return word >> 4 * n & 15U; }

/// Weight (o, i) as AWQ's documentation of its layout has it.
float value_at(const awq_linear& a, std::size_t o, std::size_t i) {
    constexpr std::size_t place[] = {0, 4, 1, 5, 2, 6, 3, 7};  // of output o % 8 in its word
    const std::size_t k = i / (a.in_features / a.groups), word = o / 8, pitch = a.out_features / 8;
    const auto code = static_cast<float>(nibble(a.qweight[i * pitch + word], place[o % 8]));
    const auto zero = static_cast<float>(nibble(a.qzeros[k * pitch + word], place[o % 8]));
    return a.scales[k * a.out_features + o] * (code - zero);
}

}  // namespace

TEST_CASE("the worked module packs to AWQ's words", "[pack]") {
    const awq_linear a = pack_awq(worked_module());
    CHECK(a.qweight ==
          words{0x75316420, 0x86427531, 0x97538642, 0xA8649753, 0xB975A864, 0xCA86B975, 0xDB97CA86, 0xECA8DB97});
    CHECK(a.qzeros == words{0x88888888});
    CHECK(a.scales == std::vector<float>(8, 0.5F));
    CHECK(a.out_features == 8);
    CHECK(a.in_features == 8);
    CHECK(a.groups == 1);
    CHECK(value_at(a, 0, 0) == -4.0F);
    CHECK(value_at(a, 7, 7) == 3.0F);
}

TEST_CASE("the worked module comes back from AWQ's words as GPTQ's", "[pack]") {
    const packed_linear p = to_gptq(pack_awq(worked_module()));
    CHECK(p.qweight ==
          words{0x76543210, 0x87654321, 0x98765432, 0xA9876543, 0xBA987654, 0xCBA98765, 0xDCBA9876, 0xEDCBA987});
    CHECK(p.zeros == zero_format::v1);
    CHECK(p.qzeros == words{0x77777777});
}

TEST_CASE("AWQ's order of outputs in a word is a permutation and its inverse", "[pack]") {
    STATIC_REQUIRE(gptq::impl::to_awq_order(0x76543210) == 0x75316420);
    STATIC_REQUIRE(gptq::impl::from_awq_order(0x75316420) == 0x76543210);
}

TEST_CASE("a layer means the same in AWQ, and is the same after it, in all shapes", "[pack]") {
    const auto [out, in, group_size] = GENERATE(table<std::size_t, std::size_t, std::ptrdiff_t>(
        {{8, 1, -1}, {8, 8, 8}, {24, 6, 3}, {32, 33, 11}, {40, 64, 32}, {64, 20, -1}, {136, 128, 64}}));
    const auto format = GENERATE(zero_format::v1, zero_format::v2);
    CAPTURE(out, in, group_size);
    const auto q = random_layer(out, in, {.bits = 4, .group_size = group_size});
    packed_linear p = pack(q, format);
    if (out > 24) p.bias.assign(out, 1.5F);
    const awq_linear a = to_awq(p);
    CHECK(a.bias == p.bias);

    std::size_t wrong = 0;
    for (std::size_t o = 0; o < out; ++o)
        for (std::size_t i = 0; i < in; ++i) wrong += value_at(a, o, i) != q.value(o, i);
    CHECK(wrong == 0);

    const packed_linear back = to_gptq(a);
    CHECK(back.zeros == zero_format::v1);  // random_layer has no zero point of 0
    CHECK(back.qweight == p.qweight);
    CHECK(back.qzeros == pack(q, zero_format::v1).qzeros);
    CHECK(back.scales == p.scales);
    CHECK(back.g_idx == p.g_idx);
    CHECK(back.bias == p.bias);
    CHECK(back.groups == p.groups);

    const auto codes = unpack(a);
    CHECK(codes.codes == q.codes);
    CHECK(codes.parameters == q.parameters);
}

TEST_CASE("a layer that no cache holds is the same after AWQ", "[pack]") {
    const std::size_t in = GENERATE(4096U, 4099U);
    const auto q = random_layer(4224, in, {.bits = 4, .group_size = -1});
    const packed_linear p = pack(q);
    const awq_linear a = to_awq(p);
    std::size_t wrong = 0;
    for (std::size_t o = 0; o < a.out_features; o += 17)
        for (std::size_t i = 0; i < in; i += 19) wrong += value_at(a, o, i) != q.value(o, i);
    CHECK(wrong == 0);
    CHECK(to_gptq(a).qweight == p.qweight);
}

TEST_CASE("a zero point of 0 is AWQ's as it is, and makes GPTQ v2", "[pack]") {
    auto q = worked_module();
    q.parameters[3].zero = 0;
    const awq_linear a = pack_awq(q);
    CHECK(a.qzeros == words{0x88088888});  // output 3 is nibble 5
    const packed_linear p = to_gptq(a);
    CHECK(p.zeros == zero_format::v2);
    CHECK(p.qzeros == words{0x88880888});
    CHECK(to_awq(p).qzeros == a.qzeros);
}

TEST_CASE("what AWQ cannot hold is refused with the reason and the way out", "[pack]") {
    const auto refusal = [](std::size_t out, std::size_t in, uniform_grid grid, bool shuffled = false) {
        return message_of<gptq::option_error>([&] { (void)to_awq(pack(random_layer(out, in, grid, shuffled))); });
    };
    CHECK(refusal(8, 8, {.bits = 8, .group_size = 8}) ==
          "to_awq: bits is 8, expected 4, the only width of AWQ; keep GPTQ or quantize again");
    CHECK(refusal(12, 8, {.bits = 4, .group_size = 8}) ==
          "to_awq: out_features is 12, expected a multiple of 8, which fill a word; keep GPTQ");
    CHECK(refusal(8, 12, {.bits = 4, .group_size = 8}) ==
          "to_awq: 12 inputs are in 2 groups of unequal size, which AWQ cannot hold: keep GPTQ, or quantize again with "
          "a group size that divides them");
    CHECK(refusal(8, 64, {.bits = 4, .group_size = 32}, true) ==
          "to_awq: groups are scattered over the inputs (act-order), which AWQ cannot say: use without_act_order where "
          "the order of inputs is free, or quantize again with static groups");
    CHECK(refusal(8, 16, {.bits = 4, .group_size = 8}) == "(nothing was thrown)");
}

TEST_CASE("an AWQ layer whose parts disagree is refused", "[pack]") {
    const awq_linear good = pack_awq(random_layer(16, 64, {.bits = 4, .group_size = 32}));
    CHECK_NOTHROW(check(good));
    const auto refused = [&good](auto spoil) {
        awq_linear a = good;
        spoil(a);
        (void)to_gptq(a);
    };
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.out_features = 0; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.out_features = 12; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.out_features = ~std::size_t{0} / 8 + 1; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.groups = 3; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.groups = 0; }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.qweight = without_last(a.qweight); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.qzeros.pop_back(); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.scales.pop_back(); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.bias.resize(7); }), gptq::shape_error);
    CHECK_THROWS_AS(refused([](awq_linear& a) { a.scales[3] = std::numeric_limits<float>::quiet_NaN(); }),
                    gptq::numeric_error);
}

}  // namespace awq_test
