// Layers as blocks: the same weights bit for bit, the smallest type that can, and a plain no where none can.
#include <gptq/pack/ggml_convert.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gptq/pack/ggml_block_grid.hpp>
#include <gptq/pack/ggml_dequantize.hpp>
#include <gptq/pack/packed_linear.hpp>

#include "pack/random_layer.hpp"
#include "support/catch.hpp"

namespace ggml_convert_test {

using namespace gptq;

namespace {

using layer = quantized<uniform_grid>;

layer symmetric(layer q) {
    for (affine& a : q.parameters) a.zero = static_cast<float>(1U << (q.grid.bits - 1));
    return q;
}

/// All scales 2^-4, so that scale·zero is an f16.
layer with_round_scales(layer q) {
    for (affine& a : q.parameters) a.scale = 0.0625F;
    return q;
}

/// One row of 32 codes, 0 … 31 modulo 2^bits, with one scale and zero point.
layer one_block(unsigned bits, affine a) {
    layer q{{.bits = bits, .group_size = 32, .sym = false}, 1, 32, {}, {a}, std::vector<std::int32_t>(32)};
    for (unsigned i = 0; i < 32; ++i) q.codes.push_back(static_cast<std::uint8_t>(i % (1U << bits)));
    return q;
}

std::vector<float> values_of(const layer& q) {
    std::vector<float> values(q.out_features * q.in_features);
    dequantize_into(q, view_of(values.data(), q.out_features, q.in_features));
    return values;
}

std::vector<float> values_of(const packed_linear& p) {
    std::vector<float> values;
    for (std::size_t o = 0; o < p.out_features; ++o)
        for (std::size_t i = 0; i < p.in_features; ++i) values.push_back(value_at(p, o, i));
    return values;
}

template <class Layer>
std::vector<float> values_in_blocks(const Layer& q, ggml_type type) {
    std::vector<float> values(q.out_features * q.in_features);
    dequantize(type, to_ggml(q, type), values);
    return values;
}

std::size_t different_bits(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        count += std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]);
    return count;
}

template <class Error, class F>
std::string message_of(F&& f) {
    try {
        f();
    } catch (const Error& e) {
        return e.what();
    }
    return "(nothing was thrown)";
}

}  // namespace

TEST_CASE("a float is an f16 exactly when rounding it to f16 changes nothing", "[pack]") {
    std::size_t wrong = 0;
    for (std::uint32_t pattern = 0; pattern <= 0xFFFF; ++pattern) {
        const f16 half{static_cast<std::uint16_t>(pattern)};
        const float x = to_float(half);
        if (!std::isfinite(x)) continue;
        wrong += impl::as_f16(x).bits != half.bits;
        for (const float near :
             {std::nextafter(x, 1e6F), std::nextafter(x, -1e6F), 1.5F * x, x * 65536.0F, x * 0x1p-40F})
            wrong += impl::is_f16(near) != (to_float(round_to<f16>(near)) == near && std::abs(near) <= 65504.0F);
    }
    CHECK(wrong == 0);
    CHECK_FALSE(impl::is_f16(std::numeric_limits<float>::infinity()));
    CHECK_FALSE(impl::is_f16(std::numeric_limits<float>::quiet_NaN()));
    CHECK_FALSE(impl::is_f16(std::numeric_limits<float>::max()));
    CHECK_FALSE(impl::is_f16(65536.0F));
}

TEST_CASE("layers of any width become blocks that stand for the same floats", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 5U, 6U, 7U, 8U);
    const auto [out, in, group_size] = GENERATE(table<std::size_t, std::size_t, std::ptrdiff_t>(
        {{1, 32, -1}, {3, 96, 32}, {131, 64, 64}, {5, 640, 128}, {4, 96, 64}, {2, 128, -1}}));
    const bool sym = GENERATE(false, true);
    CAPTURE(bits, out, in, group_size, sym);

    auto q = random_layer(out, in, {.bits = bits, .group_size = group_size});
    if (bits == 8 || sym) q = symmetric(std::move(q));
    const bool wide = bits > 5 || (bits == 5 && !sym);
    const ggml_type type = wide                               ? ggml_type::q8_0
                           : bits == 5 || (bits == 4 && !sym) ? ggml_type::q5_0
                                                              : ggml_type::q4_0;
    CHECK(different_bits(values_in_blocks(q, type), values_of(q)) == 0);
    CHECK(different_bits(values_in_blocks(q, ggml_type::q8_0), values_of(q)) == 0);
    if (bits >= 5 && bits <= 7) return;
    const packed_linear p = pack(q, GENERATE(zero_format::v1, zero_format::v2));
    CHECK(different_bits(values_in_blocks(p, type), values_of(p)) == 0);
    CHECK(to_ggml(p, type) == to_ggml(q, type));
}

TEST_CASE("the smallest type is the one that the table of grids names", "[pack]") {
    const auto smallest = [](unsigned bits, bool sym) {
        const auto q = random_layer(16, 256, {.bits = bits, .group_size = 32});
        return name(exact_ggml_type(sym ? symmetric(q) : q));
    };
    CHECK(smallest(2, false) == "Q4_0");
    CHECK(smallest(2, true) == "Q4_0");
    CHECK(smallest(3, false) == "Q4_0");
    CHECK(smallest(3, true) == "Q4_0");
    CHECK(smallest(4, true) == "Q4_0");
    CHECK(smallest(4, false) == "Q5_0");
    CHECK(smallest(5, true) == "Q5_0");
    CHECK(smallest(5, false) == "Q8_0");
    CHECK(smallest(6, false) == "Q8_0");
    CHECK(smallest(7, false) == "Q8_0");
    CHECK(smallest(8, true) == "Q8_0");
    CHECK(exact_ggml_type(pack(random_layer(16, 256, {.bits = 3, .group_size = 32}))) == ggml_type::q4_0);
}

TEST_CASE("what decides is how far codes lie from their zero points, not the width of the grid", "[pack]") {
    auto q = one_block(8, {0.5F, 100});
    const auto type_for = [&q](std::uint8_t least, std::uint8_t most) {
        for (std::size_t i = 0; i < 32; ++i) q.codes[i] = i % 2 == 0 ? least : most;
        const ggml_type type = exact_ggml_type(q);
        CHECK(different_bits(values_in_blocks(q, type), values_of(q)) == 0);
        return type;
    };
    CHECK(type_for(92, 107) == ggml_type::q4_0);
    CHECK(type_for(91, 107) == ggml_type::q5_0);
    CHECK(type_for(92, 108) == ggml_type::q5_0);
    CHECK(type_for(84, 115) == ggml_type::q5_0);
    CHECK(type_for(83, 115) == ggml_type::q8_0);
    CHECK(type_for(84, 116) == ggml_type::q8_0);
    CHECK(type_for(0, 227) == ggml_type::q8_0);
    for (std::uint8_t& code : q.codes) code = 228;
    CHECK(message_of<option_error>([&] { (void)exact_ggml_type(q); }) ==
          "exact_ggml_type: no block type holds this layer exactly: for Q8_0, code - zero is 0 … 128, expected "
          "-128 … 127; quantize with 7 bits, or symmetrically");
}

TEST_CASE("a packed layer that no cache holds becomes the blocks that its codes become", "[pack]") {
    const std::size_t in = GENERATE(4096U, 4128U);  // rows of blocks that are whole vectors, or not
    const layer q = symmetric(random_layer(4224, in, {.bits = 4, .group_size = 32}));
    for (const ggml_type type : {ggml_type::q4_0, ggml_type::q5_0}) CHECK(to_ggml(pack(q), type) == to_ggml(q, type));
}

TEST_CASE("the extreme codes become the extreme codes", "[pack]") {
    const auto first_and_last = [](unsigned bits, float zero, ggml_type type) {
        auto q = one_block(bits, {1.0F, zero});
        q.codes[0] = 0;
        q.codes[31] = static_cast<std::uint8_t>(q.grid.maxq());
        const auto back = from_ggml(type, 1, 32, to_ggml(q, type));
        CHECK(values_of(back) == values_of(q));
        return std::pair<int, int>(back.codes[0], back.codes[31]);
    };
    CHECK(first_and_last(4, 8, ggml_type::q4_0) == std::pair(0, 15));
    CHECK(first_and_last(3, 0, ggml_type::q4_0) == std::pair(8, 15));
    CHECK(first_and_last(3, 7, ggml_type::q4_0) == std::pair(1, 8));
    CHECK(first_and_last(2, 3, ggml_type::q4_0) == std::pair(5, 8));
    CHECK(first_and_last(4, 0, ggml_type::q5_0) == std::pair(16, 31));
    CHECK(first_and_last(4, 15, ggml_type::q5_0) == std::pair(1, 16));
    CHECK(first_and_last(5, 16, ggml_type::q5_0) == std::pair(0, 31));
    CHECK(first_and_last(7, 127, ggml_type::q8_0) == std::pair(1, 128));
    CHECK(first_and_last(8, 128, ggml_type::q8_0) == std::pair(0, 255));
}

TEST_CASE("a layer becomes the documented bytes", "[pack]") {
    const auto q = one_block(4, {0.5F, 3});
    const auto hex = [&q](ggml_type type) {
        std::string text;
        for (const std::byte b : to_ggml(q, type)) {
            text += "0123456789ABCDEF"[std::to_integer<unsigned>(b >> 4)];
            text += "0123456789ABCDEF"[std::to_integer<unsigned>(b & std::byte{15})];
        }
        return text;
    };
    CHECK(hex(ggml_type::q4_1) == "003800BE00112233445566778899AABBCCDDEEFF");
    CHECK(hex(ggml_type::q5_0) == "0038F8FFF8FFDDEEFF00112233445566778899AABBCC");
}

TEST_CASE("types with a minimum are taken exactly where -scale·zero is an f16", "[pack]") {
    const auto four = with_round_scales(random_layer(8, 256, {.bits = 4, .group_size = 32}));
    CHECK(exact_ggml_type(four) == ggml_type::q4_1);
    CHECK(values_in_blocks(four, ggml_type::q4_1) == values_of(four));
    const auto five = with_round_scales(random_layer(8, 256, {.bits = 5, .group_size = 32}));
    CHECK(exact_ggml_type(five) == ggml_type::q5_1);
    CHECK(values_in_blocks(five, ggml_type::q5_1) == values_of(five));
    CHECK(values_in_blocks(four, ggml_type::q5_1) == values_of(four));

    // The f16 nearest to 0.1 has eleven significant bits; three times it does not fit.
    auto inexact = four;
    inexact.parameters[3 * inexact.groups() + 2] = {to_float(f16{0x2E66}), 3};
    CHECK(exact_ggml_type(inexact) == ggml_type::q5_0);
    CHECK(message_of<option_error>([&] { (void)to_ggml(inexact, ggml_type::q4_1); }) ==
          "to_ggml: Q4_1 cannot hold this layer exactly: -scale·zero of output 3, group 2 is -0.299927, which is no "
          "f16; Q5_0 can");
    inexact.parameters[3 * inexact.groups() + 2].zero = 4;
    CHECK(exact_ggml_type(inexact) == ggml_type::q4_1);
}

TEST_CASE("every scale and zero point of 4 bits is stored exactly or not at all", "[pack]") {
    std::size_t by_min = 0, by_range = 0;
    for (std::uint32_t significand = 0x3800; significand < 0x3C00; significand += 7)
        for (unsigned zero = 0; zero < 16; ++zero) {
            const auto q =
                one_block(4, {to_float(f16{static_cast<std::uint16_t>(significand)}), static_cast<float>(zero)});
            const ggml_type type = exact_ggml_type(q);
            by_min += type == ggml_type::q4_1;
            by_range += type == ggml_type::q5_0;
            REQUIRE(values_in_blocks(q, type) == values_of(q));
        }
    CHECK(by_min > 500);  // 40 % of the pairs
    CHECK(by_range > 1000);
}

TEST_CASE("scales of other types are taken where each is an f16", "[pack]") {
    auto p = pack(random_layer(4, 64, {.bits = 4, .group_size = 32}));
    const auto expected = to_ggml(p, ggml_type::q5_0);
    p.stored_scales = GENERATE(scale_type::bf16, scale_type::f32);
    CHECK(to_ggml(p, ggml_type::q5_0) == expected);
    p.scales[5] = 0x1.004p0F;
    CHECK(values_in_blocks(p, ggml_type::q5_0) == values_of(p));
    p.scales[5] = 0x1.002p0F;
    CHECK(message_of<option_error>([&] { (void)to_ggml(p, ggml_type::q5_0); }) ==
          "to_ggml: the scale of output 1, group 1 is 1.00049, which is no f16, as the scale of a block must be; "
          "quantize with f16 scales");
    for (const float scale : {1e-8F, 65536.0F, -1e30F}) {
        p.scales[5] = scale;
        CHECK_THROWS_AS(exact_ggml_type(p), option_error);
    }
    for (const float scale : {0x1p-24F, -65504.0F, 0.0F, -0.0F}) {
        p.scales[5] = scale;
        CHECK(different_bits(values_in_blocks(p, ggml_type::q5_0), values_of(p)) == 0);
    }
}

TEST_CASE("groups that blocks cannot follow are refused", "[pack]") {
    const auto refused = [](const layer& q) {
        return message_of<option_error>([&] { (void)to_ggml(q, ggml_type::q5_0); });
    };
    CHECK(refused(random_layer(2, 64, {.bits = 4, .group_size = 16})) ==
          "to_ggml: column 0 is of group 0 and column 16 of group 1, but the 32 columns of a block share a scale; "
          "quantize with groups of a multiple of 32, and with static groups where there is act-order");
    CHECK(
        refused(random_layer(2, 64, {.bits = 4, .group_size = 48})).find("column 32 is of group 0 and column 48 of") !=
        std::string::npos);
    CHECK(refused(random_layer(2, 256, {.bits = 4, .group_size = 32}, true)).find("act-order") != std::string::npos);
    CHECK(refused(random_layer(2, 40, {.bits = 4})) ==
          "to_ggml: in_features is 40, expected a multiple of 32, the columns of a block");
    // Whole blocks may be of any group.
    auto shuffled = random_layer(3, 96, {.bits = 4, .group_size = 32});
    for (std::size_t i = 0; i < 96; ++i) shuffled.g_idx[i] = i < 32 ? 2 : i < 64 ? 0 : 1;
    CHECK(different_bits(values_in_blocks(shuffled, ggml_type::q5_0), values_of(shuffled)) == 0);
}

TEST_CASE("a type that cannot hold a layer is refused with its reason and the type that can", "[pack]") {
    const auto q = one_block(4, {0.5F, 9});
    CHECK(message_of<option_error>([&] { (void)to_ggml(q, ggml_type::q4_0); }) ==
          "to_ggml: Q4_0 cannot hold this layer exactly: code - zero is -9 … 6, expected -8 … 7; Q4_1 can");
    CHECK(message_of<option_error>([&] {
              (void)to_ggml(one_block(5, {0.5F, 9}), ggml_type::q4_1);
          }) == "to_ggml: Q4_1 cannot hold this layer exactly: its codes have 4 bits, the layer's 5; Q5_1 can");
    CHECK(message_of<option_error>([&] { (void)to_ggml(q, ggml_type::q4_k); }) ==
          "to_ggml: Q4_K is no uniform grid, expected Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0");
    CHECK_THROWS_AS(to_ggml(q, ggml_type::f16), option_error);
    auto broken = pack(q);
    broken.scales.pop_back();
    CHECK_THROWS_AS(to_ggml(broken, ggml_type::q5_0), shape_error);
}

TEST_CASE("a grid announces a type that holds whatever is solved on it", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 5U, 6U, 7U, 8U);
    const bool sym = GENERATE(false, true);
    const uniform_grid grid{.bits = bits, .group_size = GENERATE(-1, 32, 128), .sym = sym};
    CAPTURE(bits, sym);
    if (bits == 8 && !sym) {
        CHECK(message_of<option_error>([&] { (void)exact_ggml_type(grid); }) ==
              "exact_ggml_type: no block type holds every asymmetric layer of 8 bits; quantize with 7 bits, or "
              "symmetrically");
        return;
    }
    auto q = random_layer(4, 256, grid);
    for (std::size_t i = 0; i < q.parameters.size(); ++i)  // 0 and maxq, besides 1 … maxq
        if (i % 3 == 0) q.parameters[i].zero = i % 2 == 0 ? 0.0F : static_cast<float>(grid.maxq());
    if (sym) q = symmetric(std::move(q));
    CHECK(different_bits(values_in_blocks(q, exact_ggml_type(grid)), values_of(q)) == 0);
    CHECK(traits(exact_ggml_type(q)).bytes <= traits(exact_ggml_type(grid)).bytes);
}

TEST_CASE("a grid that blocks cannot follow is refused before anything is solved", "[pack]") {
    CHECK_THROWS_AS(exact_ggml_type(uniform_grid{.group_size = 48}), option_error);
    CHECK_THROWS_AS(exact_ggml_type(uniform_grid{.scales = scale_type::bf16}), option_error);
    CHECK_THROWS_AS(exact_ggml_type(uniform_grid{.bits = 9}), option_error);
}

TEMPLATE_TEST_CASE("blocks of any bits come back as a layer, and from it the same bytes", "[pack]", q4_0_block,
                   q5_0_block, q8_0_block) {
    constexpr TestType block{};
    std::mt19937 random(4);
    constexpr std::size_t out = 5, in = 96;
    std::vector<std::byte> bytes(out * in / 32 * block.bytes);
    for (std::size_t i = 0; i < bytes.size(); ++i)  // the upper byte of d: a number
        bytes[i] = i % block.bytes == 1 ? std::byte{0x2E} : static_cast<std::byte>(random());
    const layer q = from_ggml(block.type, out, in, bytes);
    CHECK(q.grid.bits == block.bits);
    CHECK(q.grid.group_size == 32);
    CHECK(q.grid.sym);
    CHECK(q.parameters[0].zero == static_cast<float>(1U << (block.bits - 1)));
    std::vector<float> expected(out * in);
    dequantize(block.type, bytes, expected);
    CHECK(different_bits(values_of(q), expected) == 0);
    CHECK(to_ggml(q, block.type) == bytes);
}

TEST_CASE("blocks that are no uniform grid, no rows or no numbers are refused on the way back", "[pack]") {
    std::vector<std::byte> bytes(4 * 18);
    CHECK(from_ggml(ggml_type::q4_0, 2, 64, bytes).codes.size() == 128);
    CHECK(message_of<option_error>([&] { (void)from_ggml(ggml_type::q4_1, 2, 64, bytes); }) ==
          "from_ggml: Q4_1 has minima, and no zero points; dequantize reads it");
    CHECK_THROWS_AS(from_ggml(ggml_type::q6_k, 2, 64, bytes), option_error);
    constexpr std::size_t huge = std::numeric_limits<std::size_t>::max();
    using sizes = std::pair<std::size_t, std::size_t>;
    for (const auto& [out, in] :
         {sizes{2, 32}, {1, 64}, {3, 64}, {2, 65}, {4, 31}, {0, 64}, {2, 0}, {huge, 64}, {2, huge}})
        CHECK_THROWS_AS(from_ggml(ggml_type::q4_0, out, in, bytes), shape_error);
    CHECK_THROWS_AS(from_ggml(ggml_type::q4_0, 2, 64, std::span(bytes).first(71)), shape_error);
    bytes[2 * 18 + 1] = std::byte{0x7C};
    CHECK(message_of<numeric_error>([&] { (void)from_ggml(ggml_type::q4_0, 2, 64, bytes); }) ==
          "from_ggml: the scale of row 1, block 0 is not finite");
}

TEMPLATE_TEST_CASE("a layer solved on a block's grid is written as that block", "[pack]", q4_0_grid, q4_1_grid,
                   q5_0_grid, q5_1_grid, q8_0_grid) {
    std::mt19937 random(5);
    constexpr std::size_t out = 6, in = 128;
    quantized<TestType> q{{}, out, in, {}, {}, natural_g_idx(in, 32)};
    for (std::size_t i = 0; i < out * in; ++i)
        q.codes.push_back(static_cast<std::uint8_t>(random() % (1U << TestType::bits)));
    for (std::size_t i = 0; i < out * q.groups(); ++i) {
        typename TestType::parameters p;
        p.d = static_cast<float>(random() % 2048) / 4096 - 0.125F;
        if constexpr (TestType::has_m) p.m = static_cast<float>(random() % 2048) / 1024 - 0.75F;
        q.parameters.push_back(p);
    }
    std::vector<float> values(out * in), expected(out * in);
    dequantize_into(q, view_of(expected.data(), out, in));
    const auto bytes = to_ggml(q);
    for (const ggml_type type : {ggml_type::q4_0, ggml_type::q4_1, ggml_type::q5_0, ggml_type::q5_1, ggml_type::q8_0})
        if (traits(type).bytes * out * in / 32 == bytes.size()) dequantize(type, bytes, values);
    CHECK(different_bits(values, expected) == 0);

    auto spoiled = q;
    spoiled.parameters[1].d = 0.1F;
    CHECK_THROWS_AS(to_ggml(spoiled), option_error);
    spoiled = q;
    std::swap(spoiled.g_idx[0], spoiled.g_idx[40]);
    CHECK_THROWS_AS(to_ggml(spoiled), option_error);
    spoiled = q;
    spoiled.codes.pop_back();
    CHECK_THROWS_AS(to_ggml(spoiled), shape_error);
    if (TestType::bits < 8) {
        spoiled = q;
        spoiled.codes[7] = 255;
        CHECK_THROWS_AS(to_ggml(spoiled), option_error);
    }
}

}  // namespace ggml_convert_test
