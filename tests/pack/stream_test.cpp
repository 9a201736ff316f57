// Streams and their columns against one field at a time, for every width and every length around a block.
#include <gptq/pack/columns.hpp>
#include <gptq/pack/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace stream_test {

using gptq::view_of;
using codes = std::vector<std::uint8_t>;
using words = std::vector<std::uint32_t>;

namespace {

codes random_codes(std::size_t count, unsigned bits) {
    std::mt19937 random(static_cast<std::uint32_t>(count * 8 + bits));
    codes result(count);
    for (auto& code : result) code = static_cast<std::uint8_t>(random() & ((1U << bits) - 1U));
    return result;
}

/// One field after the other.
words stream_of(const codes& values, unsigned bits) {
    words result(gptq::words_for(values.size(), bits));
    for (std::size_t i = 0; i < values.size(); ++i) gptq::or_field(result.data(), 1, i, bits, values[i]);
    return result;
}

}  // namespace

TEST_CASE("a stream is its fields one after the other, and unpacks to them", "[pack]") {
    const unsigned bits = GENERATE(range(2U, 9U));
    const std::size_t count = GENERATE(1U, 7U, 8U, 9U, 31U, 32U, 33U, 85U, 255U, 256U, 257U, 511U, 512U, 800U);
    CAPTURE(bits, count);
    const codes values = random_codes(count, bits);
    const words expected = stream_of(values, bits);

    // What lies beyond the stream must stay.
    words packed(expected.size() + 2, 0xDEADBEEF);
    gptq::impl::visit_bits(bits, [&](auto b) { gptq::impl::pack_stream<b>(values.data(), count, packed.data()); });
    CHECK(words(packed.begin(), packed.end() - 2) == expected);
    CHECK(words(packed.end() - 2, packed.end()) == words(2, 0xDEADBEEF));

    codes back(count + 8, 0xEE);
    gptq::impl::visit_bits(bits, [&](auto b) { gptq::impl::unpack_stream<b>(expected.data(), count, back.data()); });
    CHECK(codes(back.begin(), back.end() - 8) == values);
    CHECK(codes(back.end() - 8, back.end()) == codes(8, 0xEE));
}

TEST_CASE("all code values at all places of a block survive", "[pack]") {
    const unsigned bits = GENERATE(range(2U, 9U));
    for (unsigned first = 0; first < 256; ++first) {
        codes values(256), back(256);
        for (unsigned i = 0; i < 256; ++i) values[i] = static_cast<std::uint8_t>((first + i) & ((1U << bits) - 1U));
        words packed(8 * bits);
        gptq::impl::visit_bits(bits, [&](auto b) {
            gptq::impl::pack_stream<b>(values.data(), 256, packed.data());
            gptq::impl::unpack_stream<b>(packed.data(), 256, back.data());
        });
        REQUIRE(packed == stream_of(values, bits));
        REQUIRE(back == values);
    }
}

TEST_CASE("bits above the last field of a word do not reach a code", "[pack]") {
    const unsigned bits = GENERATE(range(2U, 9U));
    const std::size_t count = GENERATE(1U, 5U, 33U, 257U);
    codes values(count);
    const words ones(gptq::words_for(count, bits), 0xFFFFFFFF);
    gptq::impl::visit_bits(bits, [&](auto b) { gptq::impl::unpack_stream<b>(ones.data(), count, values.data()); });
    CHECK(values == codes(count, static_cast<std::uint8_t>((1U << bits) - 1U)));
}

TEST_CASE("rows of codes become columns of words, and come back, in all shapes around a tile", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 5U, 8U);
    const std::size_t out = GENERATE(1U, 3U, 5U, 127U, 128U, 131U), in = GENERATE(1U, 31U, 256U, 259U, 600U);
    CAPTURE(bits, out, in);
    const codes values = random_codes(out * in, bits);
    const std::size_t rows = gptq::words_for(in, bits);
    words expected(rows * out);
    for (std::size_t o = 0; o < out; ++o)
        for (std::size_t i = 0; i < in; ++i) gptq::or_field(expected.data() + o, out, i, bits, values[o * in + i]);

    words packed(rows * out, 0xDEADBEEF);
    codes back(out * in, 0xEE);
    gptq::impl::visit_bits(bits, [&](auto b) {
        gptq::impl::pack_columns<b>(view_of(values.data(), out, in), view_of(packed.data(), rows, out));
        gptq::impl::unpack_columns<b>(view_of(expected.data(), rows, out), view_of(back.data(), out, in));
    });
    CHECK(packed == expected);
    CHECK(back == values);
}

TEST_CASE("matrices that no cache holds are packed and unpacked alike, wherever they lie", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 8U);
    const std::size_t out = GENERATE(2048U, 2049U), in = 16416;  // rows of words that are whole vectors, or not
    const std::size_t shift = GENERATE(0U, 1U);                  // from where vectors may lie
    CAPTURE(bits, out, shift);
    codes values(out * in + shift), back(values.size());
    std::uint32_t state = 1;
    for (auto& code : values) code = static_cast<std::uint8_t>((state = state * 1664525 + 1013904223) >> (32 - bits));
    const std::size_t rows = gptq::words_for(in, bits);
    words packed(rows * out + shift);
    const auto packed_view = view_of(packed.data() + shift, rows, out);
    gptq::impl::visit_bits(bits, [&](auto b) {
        gptq::impl::pack_columns<b>(view_of(std::as_const(values).data() + shift, out, in), packed_view);
        gptq::impl::unpack_columns<b>(packed_view, view_of(back.data() + shift, out, in));
    });
    back[0] = values[0];
    CHECK(back == values);
    std::size_t wrong = 0;
    for (std::size_t o = 0; o < out; o += 37)
        for (std::size_t i = 0; i < in; i += 41)
            wrong += gptq::field(packed_view.data + o, out, i, bits) != values[shift + o * in + i];
    CHECK(wrong == 0);
}

TEST_CASE("a matrix and its transpose have the same elements, in all shapes around a tile", "[pack]") {
    const std::size_t rows = GENERATE(1U, 2U, 5U, 63U, 64U, 67U, 130U), cols = GENERATE(1U, 3U, 4U, 127U, 128U, 261U);
    CAPTURE(rows, cols);
    words from(rows * cols), to(rows * cols);
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::uint32_t>(i);
    gptq::impl::transpose_matrix<std::uint32_t>(view_of(from.data(), rows, cols), view_of(to.data(), cols, rows));
    std::size_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c) wrong += to[c * rows + r] != from[r * cols + c];
    CHECK(wrong == 0);
}

}  // namespace stream_test
