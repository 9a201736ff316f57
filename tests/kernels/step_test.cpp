// Tests include/gptq/kernels/step.hpp and place.hpp: the bits of a step, in and out.
#include <gptq/kernels/step.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include <gptq/kernels/isa.hpp>
#include <gptq/kernels/place.hpp>
#include <gptq/pack/bits.hpp>

#include "support/catch.hpp"
#include "support/isas.hpp"
#include "support/random_layer.hpp"

using gptq::line;
using gptq::step_positions;
using gptq::tile_outputs;

namespace {

/// 32 columns in order.
gptq::column_layout one_step() { return {32, 32, 32, 1, {}}; }

/// A step of random codes, in a tile's lines and in rows of a checkpoint.
template <int Bits>
struct random_step {
    std::uint32_t codes[step_positions][tile_outputs];
    line lines[Bits];
    alignas(line) std::uint32_t rows[Bits][tile_outputs] = {};

    explicit random_step(std::mt19937& random) {
        for (std::size_t i = 0; i < step_positions; ++i)
            for (std::size_t lane = 0; lane < tile_outputs; ++lane) {
                codes[i][lane] = support::random_word(random) >> (32U - Bits);
                gptq::or_field(rows[0] + lane, tile_outputs, i, Bits, codes[i][lane]);
            }
        gptq::impl::place_tile<Bits>(reinterpret_cast<const line*>(rows), one_step(), lines);
    }
    [[nodiscard]] gptq::impl::checkpoint_step checkpoint() const { return {rows[0], tile_outputs, 0}; }
};

/// Adds up code·digit for one digit of 1 and 31 of 0: what the kernels see of the code under that digit.
template <class Isa, int Bits, int Field, int Slice, class Step>
bool field_matches(const random_step<Bits>& random, const Step& step) {
    bool equal = true;
    for (std::size_t byte = 0; byte < 4; ++byte) {
        std::int8_t digits[4] = {};
        digits[byte] = 1;
        const auto codes = gptq::impl::codes_of<Isa, Bits, Field, Slice>(step);
        const auto sums = Isa::template widen<1>({}, Isa::dot({}, codes, digits));
        float seen[tile_outputs];
        Isa::store(Isa::to_floats(sums), seen);
        const std::size_t position = gptq::impl::position_of(gptq::codes_per_byte(Bits), Field, byte);
        for (std::size_t lane = 0; lane < tile_outputs; ++lane) {
            std::uint32_t code = random.codes[position][lane];
            if ((1 << Bits) - 1 > Isa::largest_code) code = code >> (4U * Slice) & 15U;
            equal = equal && seen[lane] == static_cast<float>(code);
        }
    }
    return equal;
}

template <class Isa, int Bits>
void check_step(std::mt19937& random) {
    const random_step<Bits> codes(random);
    const auto all_fields_match = [&](const auto& step) {
        [&]<int... Field>(std::integer_sequence<int, Field...>) {
            CHECK((field_matches<Isa, Bits, Field, 0>(codes, step) && ...));
            if constexpr ((1 << Bits) - 1 > Isa::largest_code)
                CHECK((field_matches<Isa, Bits, Field, 1>(codes, step) && ...));
        }
        (std::make_integer_sequence<int, gptq::impl::fields_per_step>{});
    };
    all_fields_match(gptq::impl::tile_step{codes.lines});
    all_fields_match(codes.checkpoint());
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a step gives back the codes that were put in", "[kernels]", support::tested_isas) {
    std::mt19937 random(31);
    for (int i = 0; i < 20; ++i) {
        check_step<TestType, 2>(random);
        check_step<TestType, 3>(random);
        check_step<TestType, 4>(random);
        check_step<TestType, 8>(random);
    }
}

TEST_CASE("a step of b bits fills exactly b lines", "[kernels]") {
    const auto check = [](auto bits) {
        line rows[bits], lines[bits + 1];
        for (line& row : rows) std::fill_n(row.word, tile_outputs, ~0U);
        gptq::impl::place_tile<bits>(rows, one_step(), lines);
        for (std::size_t l = 0; l <= bits; ++l)
            for (const std::uint32_t word : lines[l].word) CHECK(word == (l < bits ? ~0U : 0U));
    };
    for (const unsigned bits : {2U, 3U, 4U, 8U}) gptq::impl::visit_kernel_bits(bits, check);
}

TEST_CASE("every position of a step is one byte of one field", "[kernels]") {
    for (const std::size_t codes_per_byte : {1U, 2U, 4U}) {
        std::vector<int> seen(step_positions);
        for (std::size_t field = 0; field < 8; ++field)
            for (std::size_t byte = 0; byte < 4; ++byte)
                ++seen.at(gptq::impl::position_of(codes_per_byte, field, byte));
        CHECK(seen == std::vector<int>(step_positions, 1));
    }
}
