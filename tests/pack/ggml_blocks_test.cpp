// Blocks against the worked bytes of the format, and every type's weights against its formula, one weight at a time.
#include <gptq/pack/ggml_blocks.hpp>

#include <bit>
#include <cstdint>
#include <random>
#include <vector>

#include <gptq/pack/ggml_dequantize.hpp>
#include <gptq/pack/ggml_k_blocks.hpp>

#include "support/catch.hpp"

namespace ggml_blocks_test {

using namespace gptq;
using octets = std::vector<std::uint8_t>;

namespace {

constexpr f16 half = {0x3800}, minus_one_and_a_half = {0xBE00};

template <class Block>
octets encoded(Block block, const ggml_codes& codes, ggml_scale scale) {
    octets bytes(block.bytes);
    encode_block(block, codes, scale, reinterpret_cast<std::byte*>(bytes.data()));
    return bytes;
}

template <class F>
ggml_codes codes_from(F&& f) {
    ggml_codes codes;
    for (unsigned e = 0; e < codes.size(); ++e) codes[e] = static_cast<std::uint8_t>(f(e));
    return codes;
}

/// Reads the fields of a block by their places in the file.
struct block_fields {
    const octets& bytes;

    unsigned byte(std::size_t i) const { return bytes[i]; }
    unsigned nibble(std::size_t i, std::size_t h) const { return byte(i) >> (4 * h) & 15U; }
    unsigned bits(std::size_t i, std::size_t shift, unsigned mask) const { return byte(i) >> shift & mask; }
    unsigned bit_of_word(std::size_t i, std::size_t bit) const { return byte(i + bit / 8) >> (bit % 8) & 1U; }
    int signed_byte(std::size_t i) const { return static_cast<std::int8_t>(byte(i)); }
    float f16_at(std::size_t i) const { return to_float(f16{static_cast<std::uint16_t>(byte(i) | byte(i + 1) << 8U)}); }
};

float product(float d, int a, int b = 1) { return d * static_cast<float>(a) * static_cast<float>(b); }
int signed_of(unsigned n) { return static_cast<int>(n); }

/// Scale and minimum of sub-block u in the twelve bytes from `at` on.
std::pair<int, int> scale_and_min(const block_fields& f, std::size_t at, std::size_t u) {
    if (u < 4) return {signed_of(f.byte(at + u) & 63U), signed_of(f.byte(at + u + 4) & 63U)};
    return {signed_of((f.byte(at + u + 4) & 15U) | f.byte(at + u - 4) >> 6U << 4U),
            signed_of(f.byte(at + u + 4) >> 4U | f.byte(at + u) >> 6U << 4U)};
}

/// Weight e of a block, by the formula of its type.
float weight(ggml_type type, const octets& bytes, std::size_t e) {
    const block_fields f{bytes};
    const std::size_t c = e / 128, r = e % 128, l = r % 32, t = r / 32, u = e / 16;
    const std::size_t chunk = e / 64, in_chunk = e % 32, h = e / 32 % 2;
    switch (type) {
        case ggml_type::q4_0: return product(f.f16_at(0), signed_of(f.nibble(2 + e % 16, e / 16)) - 8);
        case ggml_type::q4_1: return product(f.f16_at(0), signed_of(f.nibble(4 + e % 16, e / 16))) + f.f16_at(2);
        case ggml_type::q5_0:
            return product(f.f16_at(0), signed_of(f.nibble(6 + e % 16, e / 16) | f.bit_of_word(2, e) << 4U) - 16);
        case ggml_type::q5_1:
            return product(f.f16_at(0), signed_of(f.nibble(8 + e % 16, e / 16) | f.bit_of_word(4, e) << 4U)) +
                   f.f16_at(2);
        case ggml_type::q8_0: return product(f.f16_at(0), f.signed_byte(2 + e));
        case ggml_type::q2_k:
            return product(f.f16_at(80), signed_of(f.nibble(u, 0)), signed_of(f.bits(16 + 32 * c + l, 2 * t, 3))) -
                   product(f.f16_at(82), signed_of(f.nibble(u, 1)));
        case ggml_type::q3_k: {
            const unsigned code = f.bits(32 + 32 * c + l, 2 * t, 3) + 4 * f.bits(l, 4 * c + t, 1);
            const unsigned scale = f.nibble(96 + u % 8, u / 8) | f.bits(96 + 8 + u % 4, 2 * (u / 4), 3) << 4U;
            return product(f.f16_at(108), signed_of(scale) - 32, signed_of(code) - 4);
        }
        case ggml_type::q4_k: {
            const auto [scale, min] = scale_and_min(f, 4, e / 32);
            return product(f.f16_at(0), scale, signed_of(f.nibble(16 + 32 * chunk + in_chunk, h))) -
                   product(f.f16_at(2), min);
        }
        case ggml_type::q5_k: {
            const auto [scale, min] = scale_and_min(f, 4, e / 32);
            const unsigned code = f.nibble(48 + 32 * chunk + in_chunk, h) | f.bits(16 + in_chunk, e / 32, 1) << 4U;
            return product(f.f16_at(0), scale, signed_of(code)) - product(f.f16_at(2), min);
        }
        case ggml_type::q6_k: {
            const unsigned low = f.nibble(64 * c + 32 * (t % 2) + l, t / 2), high = f.bits(128 + 32 * c + l, 2 * t, 3);
            return product(f.f16_at(208), f.signed_byte(192 + u), signed_of(low | high << 4U) - 32);
        }
        default: FAIL("no such type"); return 0;
    }
}

const std::vector<ggml_type> understood = {ggml_type::q4_0, ggml_type::q4_1, ggml_type::q5_0, ggml_type::q5_1,
                                           ggml_type::q8_0, ggml_type::q2_k, ggml_type::q3_k, ggml_type::q4_k,
                                           ggml_type::q5_k, ggml_type::q6_k};

/// Where the f16 fields of a type are.
std::vector<std::size_t> f16_places(ggml_type type) {
    switch (type) {
        case ggml_type::q4_1:
        case ggml_type::q5_1:
        case ggml_type::q4_k:
        case ggml_type::q5_k: return {0, 2};
        case ggml_type::q2_k: return {80, 82};
        case ggml_type::q3_k: return {108};
        case ggml_type::q6_k: return {208};
        default: return {0};
    }
}

/// Any bits, but for f16 fields, which are finite.
octets random_block(ggml_type type, std::mt19937& random) {
    octets bytes(traits(type).bytes);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    for (const std::size_t place : f16_places(type))
        while ((bytes[place + 1] & 0x7CU) == 0x7CU) bytes[place + 1] = static_cast<std::uint8_t>(random());
    return bytes;
}

std::vector<float> dequantized(ggml_type type, const octets& bytes) {
    std::vector<float> weights(bytes.size() / traits(type).bytes * traits(type).elements);
    dequantize(type, std::as_bytes(std::span(bytes)), weights);
    return weights;
}

}  // namespace

TEST_CASE("blocks are the documented bytes", "[pack]") {
    const auto codes = codes_from([](unsigned e) { return e % 16; });
    CHECK(encoded(q4_0_block{}, codes, {half, {}}) == octets{0x00, 0x38, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                                             0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF});
    CHECK(encoded(q4_1_block{}, codes, {half, minus_one_and_a_half}) == octets{0x00, 0x38, 0x00, 0xBE, 0x00, 0x11, 0x22,
                                                                               0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
                                                                               0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF});
    const auto raised = codes_from([](unsigned e) { return e % 16 + 13; });
    CHECK(encoded(q5_0_block{}, raised, {half, {}}) == octets{0x00, 0x38, 0xF8, 0xFF, 0xF8, 0xFF, 0xDD, 0xEE,
                                                              0xFF, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
                                                              0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC});
    const auto bytes = codes_from([](unsigned e) { return e == 0 ? 0U : e == 1 ? 128U : 255U; });
    const octets q8 = encoded(q8_0_block{}, bytes, {half, {}});
    CHECK(octets(q8.begin(), q8.begin() + 5) == octets{0x00, 0x38, 0x80, 0x00, 0x7F});
    CHECK(dequantized(ggml_type::q5_0, encoded(q5_0_block{}, raised, {half, {}}))[0] == -1.5F);
}

TEMPLATE_TEST_CASE("codes, d and m come back from a block as they were", "[pack]", q4_0_block, q4_1_block, q5_0_block,
                   q5_1_block, q8_0_block) {
    constexpr TestType block{};
    std::mt19937 random(1);
    for (int repeat = 0; repeat < 1000; ++repeat) {
        const auto codes = codes_from([&](unsigned) { return random() % (1U << block.bits); });
        const ggml_scale scale{{static_cast<std::uint16_t>(random())},
                               {static_cast<std::uint16_t>(block.has_min ? random() : 0)}};
        const octets bytes = encoded(block, codes, scale);
        ggml_codes back;
        const auto [d, m] = decode_block(block, reinterpret_cast<const std::byte*>(bytes.data()), back);
        REQUIRE(back == codes);
        REQUIRE(d.bits == scale.d.bits);
        REQUIRE(m.bits == scale.m.bits);
        REQUIRE(encoded(block, back, {d, m}) == bytes);
    }
}

TEST_CASE("every weight of every block type is, bit for bit, what its formula says", "[pack]") {
    std::mt19937 random(2);
    for (const ggml_type type : understood)
        for (int repeat = 0; repeat < 300; ++repeat) {
            const octets bytes = random_block(type, random);
            const auto weights = dequantized(type, bytes);
            std::size_t wrong = 0;
            for (std::size_t e = 0; e < weights.size(); ++e)
                wrong +=
                    std::bit_cast<std::uint32_t>(weights[e]) != std::bit_cast<std::uint32_t>(weight(type, bytes, e));
            CAPTURE(name(type));
            REQUIRE(wrong == 0);
        }
}

TEST_CASE("blocks follow each other without a gap, at any address", "[pack]") {
    std::mt19937 random(3);
    for (const ggml_type type : understood) {
        octets row(1);  // what comes after is not aligned
        std::vector<float> expected;
        for (int b = 0; b < 3; ++b) {
            const octets block = random_block(type, random);
            row.insert(row.end(), block.begin(), block.end());
            for (const float weight : dequantized(type, block)) expected.push_back(weight);
        }
        std::vector<float> weights(expected.size());
        dequantize(type, std::as_bytes(std::span(row).subspan(1)), weights);
        CHECK(weights == expected);
    }
}

TEST_CASE("dequantize refuses types that it does not understand, and parts of blocks", "[pack]") {
    std::vector<std::byte> bytes(36);
    std::vector<float> weights(64);
    CHECK_NOTHROW(dequantize(ggml_type::q4_0, bytes, weights));
    CHECK_THROWS_AS(dequantize(ggml_type::iq4_nl, bytes, weights), option_error);
    CHECK_THROWS_AS(dequantize(ggml_type::f16, bytes, weights), option_error);
    CHECK_THROWS_AS(dequantize(ggml_type::q4_0, std::span(bytes).first(35), weights), shape_error);
    CHECK_THROWS_AS(dequantize(ggml_type::q4_0, std::span(bytes).first(35), std::span(weights).first(32)), shape_error);
    CHECK_THROWS_AS(dequantize(ggml_type::q4_0, bytes, std::span(weights).first(63)), shape_error);
}

TEST_CASE("the numbers of types are the format's, and retired ones are no types", "[pack]") {
    CHECK(ggml_type_numbered(2) == ggml_type::q4_0);
    CHECK(ggml_type_numbered(14) == ggml_type::q6_k);
    CHECK(name(ggml_type::q6_k) == "Q6_K");
    CHECK(name(ggml_type::q2_0) == "Q2_0");
    CHECK(name(ggml_type::bf16) == "BF16");
    CHECK(name(ggml_type::iq4_xs) == "IQ4_XS");
    for (const std::uint32_t retired : {4U, 5U, 31U, 32U, 33U, 36U, 37U, 38U, 43U, 0xFFFFFFFFU})
        CHECK_FALSE(ggml_type_numbered(retired));
    CHECK(8.0 * static_cast<double>(traits(ggml_type::q3_k).bytes) / traits(ggml_type::q3_k).elements == 3.4375);
}

}  // namespace ggml_blocks_test
