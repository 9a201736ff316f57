// Tests include/gptq/kernels/step.hpp: the bits of a step, in and out.
#include <gptq/kernels/step.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <tuple>
#include <utility>

#include <gptq/kernels/isa.hpp>

#include "support/catch.hpp"
#include "support/random_layer.hpp"

using gptq::line;
using gptq::step_positions;
using gptq::tile_outputs;

namespace {

struct random_step {
    std::uint32_t codes[step_positions][tile_outputs];
    line lines[8];

    random_step(std::mt19937& random, unsigned bits) {
        for (std::size_t i = 0; i < step_positions; ++i) {
            for (auto& code : codes[i]) code = support::random_word(random) >> (32U - bits);
            gptq::impl::put_codes(lines, bits, i, codes[i]);
        }
    }
};

/// Adds up code·digit for one digit of 1 and 127 of 0: what the kernels see of the code under that digit.
template <class Isa, int Bits, int Field, int Slice>
bool field_matches(const random_step& step) {
    bool equal = true;
    for (std::size_t byte = 0; byte < 4; ++byte) {
        std::int8_t digits[4] = {};
        digits[byte] = 1;
        const auto codes = gptq::impl::codes_of<Isa, Bits, Field, Slice>(step.lines);
        const auto sums = Isa::template widen<1>({}, Isa::dot({}, codes, digits));
        float seen[tile_outputs];
        Isa::store(Isa::to_floats(sums), seen);
        for (std::size_t lane = 0; lane < tile_outputs; ++lane) {
            std::uint32_t code = step.codes[4 * Field + byte][lane];
            if ((1 << Bits) - 1 > Isa::largest_code) code = code >> (4U * Slice) & 15U;
            equal = equal && seen[lane] == static_cast<float>(code);
        }
    }
    return equal;
}

template <class Isa, int Bits>
void check_step(std::mt19937& random) {
    const random_step step(random, Bits);
    [&]<int... Field>(std::integer_sequence<int, Field...>) {
        CHECK((field_matches<Isa, Bits, Field, 0>(step) && ...));
        if constexpr ((1 << Bits) - 1 > Isa::largest_code) CHECK((field_matches<Isa, Bits, Field, 1>(step) && ...));
    }
    (std::make_integer_sequence<int, gptq::impl::fields_per_step>{});
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a step gives back the codes that were put in", "[kernels]", gptq::isa::compiled) {
    std::mt19937 random(31);
    for (int i = 0; i < 20; ++i) {
        check_step<TestType, 2>(random);
        check_step<TestType, 3>(random);
        check_step<TestType, 4>(random);
        check_step<TestType, 8>(random);
    }
}

TEST_CASE("a step of b bits fills exactly b lines", "[kernels]") {
    for (const unsigned bits : {2U, 3U, 4U, 8U}) {
        line lines[9];
        std::uint32_t all_ones[tile_outputs];
        for (auto& code : all_ones) code = (1U << bits) - 1U;
        for (std::size_t i = 0; i < step_positions; ++i) gptq::impl::put_codes(lines, bits, i, all_ones);
        for (std::size_t l = 0; l < 9; ++l)
            for (const std::uint32_t word : lines[l].word) CHECK(word == (l < bits ? ~0U : 0U));
    }
}
