// The proof that products are right: random layers of every shape and option, times random tokens of every type, on
// every instruction set, against sums in double of the dequantized weights. The bound is the one that gemv.hpp derives.
#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include <gptq/kernels/gemv.hpp>

#include "support/cases.hpp"
#include "support/catch.hpp"
#include "support/isas.hpp"
#include "support/random_layer.hpp"

using support::below;

namespace {

/// Tokens as they are given, and their values.
template <class X>
struct random_tokens {
    std::vector<X> stored;
    std::vector<float> values;

    random_tokens(std::mt19937& random, std::size_t count) : values(support::normal_values(random, count)) {
        // An outlier, as language models have. f16 would not hold it.
        if (!std::is_same_v<X, gptq::f16> && below(random, 4) == 0) values[below(random, count)] *= 1e4F;
        for (float& v : values) {
            stored.push_back(gptq::round_to<X>(v));
            v = gptq::to_float(stored.back());
        }
    }
};

/// Half a unit in the last place of y, which rounds once more than the float it comes from.
template <class Y>
double rounding(double y) {
    if constexpr (std::is_same_v<Y, gptq::f16>) return std::abs(y) * 0x1p-11 + 0x1p-25;
    if constexpr (std::is_same_v<Y, gptq::bf16>) return std::abs(y) * 0x1p-8;
    return 0;
}

/// What is multiplied, and what must come of it: made once, compared with every way of multiplying.
template <class X, class Y, class Digits>
struct one_case {
    gptq::packed_linear packed;
    gptq::linear tiled;
    gptq::direct_linear direct;
    std::size_t tokens;
    random_tokens<X> x;
    std::vector<support::expected_output> want;  ///< [tokens, out]

    one_case(std::mt19937& random, const support::layer_options& options)
        : packed(support::random_layer(random, options)),
          tiled(packed),
          direct(packed),
          tokens(below(random, 8) == 0 ? 1 + below(random, 40) : 1 + below(random, 3)),
          x(random, tokens * options.in) {
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t o = 0; o < options.out; ++o) {
                const auto token = std::span<const float>(x.values).subspan(t * options.in, options.in);
                want.push_back(support::expected(packed, tiled.layout(), Digits::limit, token, o));
            }
    }

    /// Whether each output is within its bound.
    template <class Isa, class Layer>
    [[nodiscard]] bool holds(const Layer& layer) const {
        std::vector<Y> y(want.size());
        gptq::gemm<Digits, Isa>(layer, gptq::view_of(x.stored.data(), tokens, packed.in_features),
                                gptq::view_of(y.data(), tokens, packed.out_features));
        for (std::size_t i = 0; i < y.size(); ++i) {
            const double error = std::abs(static_cast<double>(gptq::to_float(y[i])) - want[i].value);
            if (!(error <= want[i].tolerance + rounding<Y>(std::abs(want[i].value) + want[i].tolerance))) return false;
        }
        return true;
    }
};

template <class Isa, class X, class Y, class Digits>
void check_isa(const one_case<X, Y, Digits>& c) {
    INFO(Isa::name);
    REQUIRE(c.template holds<Isa>(c.tiled));
    REQUIRE(c.template holds<Isa>(c.direct));
}

template <class X, class Y, class Digits>
void check_case(std::mt19937& random, const support::layer_options& options) {
    const one_case<X, Y, Digits> c(random, options);
    INFO(c.tokens << " tokens, " << Digits::planes << " digits, " << sizeof(X) << " bytes in, " << sizeof(Y)
                  << " bytes out");
    [&]<class... Isa>(std::tuple<Isa...>) { (check_isa<Isa>(c), ...); }(support::tested_isas{});
}

template <class Digits>
void check_types(std::mt19937& random, const support::layer_options& options) {
    switch (below(random, 4)) {
        case 0: return check_case<gptq::f16, gptq::f16, Digits>(random, options);
        case 1: return check_case<gptq::bf16, gptq::bf16, Digits>(random, options);
        case 2: return check_case<gptq::bf16, float, Digits>(random, options);
        default: return check_case<float, float, Digits>(random, options);
    }
}

}  // namespace

TEST_CASE("every product is within its stated error of the product in double", "[kernels]") {
    std::mt19937 random(11);
    for (int i = 0; i < support::cases(4000); ++i) {
        const auto options = support::any_options(random);
        INFO("case " << i << ": " << support::describe(options));
        switch (below(random, 3)) {
            case 0: check_types<gptq::digits<1>>(random, options); break;
            case 1: check_types<gptq::digits<2>>(random, options); break;
            default: check_types<gptq::digits<3>>(random, options);
        }
    }
}

TEST_CASE("products over inputs longer than a run of positions are right too", "[kernels]") {
    std::mt19937 random(12);
    for (int i = 0; i < support::cases(40); ++i) {
        auto options = support::any_options(random);
        options.in = 1000 + below(random, 3000);
        if (options.group_size > 0 && options.group_size < 32) options.group_size = 32;
        options.out = 1 + below(random, 20);
        INFO("case " << i << ": " << support::describe(options) << ", group size " << options.group_size);
        check_types<gptq::digits<2>>(random, options);
    }
}
