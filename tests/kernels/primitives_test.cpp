// Tests include/gptq/kernels/arch: every primitive of an instruction set gives the portable one's bits.
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include <gptq/kernels/isa.hpp>

#include "support/catch.hpp"
#include "support/isas.hpp"
#include "support/random_layer.hpp"

using gptq::tile_outputs;
using gptq::isa::portable;
using support::random_word;

namespace {

using sixteen_words = std::array<std::uint32_t, tile_outputs>;

/// The lanes of words, ints or floats.
template <class Lanes>
sixteen_words bits_of(const Lanes& value) {
    return std::bit_cast<sixteen_words>(value);
}

sixteen_words random_words(std::mt19937& random, std::uint32_t mask = ~0U) {
    sixteen_words words;
    for (auto& word : words) word = random_word(random) & mask;
    return words;
}

/// Numbers of all sizes whose products and sums are finite.
std::array<float, tile_outputs> random_floats(std::mt19937& random) {
    std::array<float, tile_outputs> values;
    for (float& v : values)
        v = std::ldexp(static_cast<float>(static_cast<std::int32_t>(random_word(random))),
                       static_cast<int>(support::below(random, 60)) - 60);
    return values;
}

/// Numbers that fill a range, with its ends and 0 among them.
template <class Isa>
auto random_ints(std::mt19937& random, std::int32_t largest) {
    std::array<std::int32_t, tile_outputs> values;
    for (auto& v : values) v = static_cast<std::int32_t>(random_word(random) % static_cast<std::uint32_t>(largest));
    for (std::size_t i = 0; i < tile_outputs; i += 2) values[i] = -values[i];
    values[3] = largest;
    values[4] = -largest;
    values[5] = 0;
    return std::bit_cast<typename Isa::ints>(values);
}

template <class Isa, int Shift, std::uint32_t Mask>
bool bits_agree(const sixteen_words& words) {
    return bits_of(Isa::template bits<Shift, Mask>(Isa::load(words.data()))) ==
           bits_of(portable::bits<Shift, Mask>(portable::load(words.data())));
}

/// With no mask, with one that keeps the top of each byte, and with one that keeps its bottom.
template <class Isa, int Shift>
bool bits_agree(const sixteen_words& words) {
    constexpr auto shift = static_cast<std::uint32_t>(Shift < 0 ? 0 : Shift % 8);
    return bits_agree<Isa, Shift, ~0U>(words) && bits_agree<Isa, Shift, 0x0101'0101U * (0xFFU >> shift)>(words) &&
           bits_agree<Isa, Shift, 0x0707'0707U>(words);
}

/// A partial sum's worth of codes and digits.
struct factors {
    std::vector<sixteen_words> codes;
    std::vector<std::array<std::int8_t, 4>> digits;

    factors(std::mt19937& random, std::size_t steps, std::uint32_t largest_code) {
        const bool largest = support::below(random, 2) == 0;
        const std::size_t sign = support::below(random, 3);
        for (std::size_t i = 0; i < steps * 8; ++i) {
            const std::uint32_t mask = 0x0101'0101U * largest_code;
            codes.push_back(largest ? sixteen_words{} : random_words(random, mask));
            if (largest) codes.back().fill(mask);
            auto& four = digits.emplace_back();
            for (auto& d : four)
                d = static_cast<std::int8_t>(sign == 0   ? -128
                                             : sign == 1 ? 127
                                                         : static_cast<int>(random() % 256) - 128);
        }
    }

    template <class Isa, int Factor>
    [[nodiscard]] sixteen_words product(typename Isa::ints sum) const {
        typename Isa::partial partial{};
        for (std::size_t i = 0; i < codes.size(); ++i)
            partial = Isa::dot(partial, Isa::load(codes[i].data()), digits[i].data());
        return bits_of(Isa::template widen<Factor>(sum, partial));
    }
};

template <class Isa, int Factor>
bool products_agree(std::mt19937& random, int largest_code) {
    const factors f(random, Isa::steps_per_partial(largest_code), static_cast<std::uint32_t>(largest_code));
    const auto sum = random_ints<portable>(random, 1 << 29);
    return f.product<Isa, Factor>(std::bit_cast<typename Isa::ints>(sum)) == f.product<portable, Factor>(sum);
}

/// Whether 16 scales at any address become the same floats, for all finite ones of a 16-bit type.
template <class Isa, class Half>
bool halves_agree(std::uint16_t infinity) {
    std::vector<Half> all;
    for (std::uint16_t magnitude = 0; magnitude < infinity; ++magnitude) {
        all.push_back({magnitude});
        all.push_back({static_cast<std::uint16_t>(magnitude | 0x8000U)});
    }
    bool agree = true;
    for (std::size_t i = 1; i + tile_outputs <= all.size(); i += tile_outputs - 1)
        agree = agree && bits_of(Isa::load_scales(all.data() + i)) == bits_of(portable::load_scales(all.data() + i));
    return agree;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("words are loaded from any address, combined and cut as written", "[kernels]",
                        support::tested_isas) {
    std::mt19937 random(21);
    for (int i = 0; i < 20; ++i) {
        const auto a = random_words(random), b = random_words(random);
        std::array<std::uint32_t, 2 * tile_outputs> both;
        std::copy(a.begin(), a.end(), both.begin());
        std::copy(b.begin(), b.end(), both.begin() + tile_outputs);
        for (std::size_t first = 0; first <= tile_outputs; ++first)
            REQUIRE(bits_of(TestType::load(both.data() + first)) == bits_of(portable::load(both.data() + first)));
        REQUIRE(bits_of(TestType::either(TestType::load(a.data()), TestType::load(b.data()))) ==
                bits_of(portable::either(portable::load(a.data()), portable::load(b.data()))));
        [&]<int... Shift>(std::integer_sequence<int, Shift...>) {
            REQUIRE((bits_agree<TestType, Shift - 31>(a) && ...));
        }
        (std::make_integer_sequence<int, 63>{});
    }
    TestType::prefetch(nullptr, 1000);
}

TEMPLATE_LIST_TEST_CASE("a partial sum holds as many of the largest products as it says", "[kernels]",
                        support::tested_isas) {
    std::mt19937 random(22);
    for (int i = 0; i < 100; ++i) {
        for (const int largest_code : {3, 7, 15}) {
            REQUIRE(products_agree<TestType, 1>(random, largest_code));
            REQUIRE(products_agree<TestType, 16>(random, largest_code));
            REQUIRE(products_agree<TestType, 256>(random, largest_code));
        }
        if (TestType::largest_code == 255) {
            REQUIRE(products_agree<TestType, 1>(random, 255));
            REQUIRE(products_agree<TestType, 256>(random, 255));
        } else {  // the high half of an 8-bit code, times a high digit
            REQUIRE(products_agree<TestType, 4096>(random, 15));
        }
    }
}

TEMPLATE_LIST_TEST_CASE("zeros and scales are loaded as they are", "[kernels]", support::tested_isas) {
    std::array<std::uint8_t, 256> zeros;
    for (std::size_t i = 0; i < zeros.size(); ++i) zeros[i] = static_cast<std::uint8_t>(i);
    for (std::size_t i = 0; i + tile_outputs <= zeros.size(); ++i)
        REQUIRE(bits_of(TestType::load_zeros(zeros.data() + i)) == bits_of(portable::load_zeros(zeros.data() + i)));
    CHECK(halves_agree<TestType, gptq::f16>(0x7C00));
    CHECK(halves_agree<TestType, gptq::bf16>(0x7F80));
    std::mt19937 random(23);
    for (int i = 0; i < 100; ++i) {
        std::array<float, tile_outputs + 1> scales{};
        const auto values = random_floats(random);
        std::copy(values.begin(), values.end(), scales.begin() + 1);
        std::array<float, tile_outputs + 1> stored{};
        const auto loaded = TestType::load_scales(scales.data() + 1);
        TestType::store(loaded, stored.data() + 1);
        REQUIRE(bits_of(loaded) == bits_of(values));
        REQUIRE(stored == scales);
    }
}

TEMPLATE_LIST_TEST_CASE("sums and scales are multiplied with the portable roundings", "[kernels]",
                        support::tested_isas) {
    using ints = typename TestType::ints;
    using floats = typename TestType::floats;
    std::mt19937 random(24);
    for (int i = 0; i < 1000; ++i) {
        const auto sums = random_ints<portable>(random, 1 << 30), zeros = random_ints<portable>(random, 255);
        const auto factor = static_cast<std::int32_t>(support::below(random, 8'000'000)) - 4'000'000;
        REQUIRE(bits_of(TestType::subtract_product(std::bit_cast<ints>(sums), std::bit_cast<ints>(zeros), factor)) ==
                bits_of(portable::subtract_product(sums, zeros, factor)));
        const auto any = random_ints<portable>(random, std::numeric_limits<std::int32_t>::max());
        REQUIRE(bits_of(TestType::to_floats(std::bit_cast<ints>(any))) == bits_of(portable::to_floats(any)));

        const auto a = random_floats(random), b = random_floats(random), c = random_floats(random);
        const auto x = std::bit_cast<floats>(a), y = std::bit_cast<floats>(b), z = std::bit_cast<floats>(c);
        const auto portable_x = std::bit_cast<portable::floats>(a), portable_y = std::bit_cast<portable::floats>(b),
                   portable_z = std::bit_cast<portable::floats>(c);
        REQUIRE(bits_of(TestType::scaled(x, b[0])) == bits_of(portable::scaled(portable_x, b[0])));
        REQUIRE(bits_of(TestType::multiply_add(x, y, z)) ==
                bits_of(portable::multiply_add(portable_x, portable_y, portable_z)));
        REQUIRE(bits_of(TestType::multiply_add(x, b[0], z)) ==
                bits_of(portable::multiply_add(portable_x, b[0], portable_z)));
    }
}
