// Tests that multiplications stay within every buffer they are given: guard pages behind x, y, codes, scales and bias.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <gptq/kernels/gemv.hpp>

#include "support/catch.hpp"
#include "support/guarded.hpp"
#include "support/isas.hpp"
#include "support/random_layer.hpp"

#if defined(GPTQ_TEST_GUARDED)

using support::guarded;
using support::normal_values;

namespace {

/// A layer's image, and before it a checkpoint's qweight, each before a guard page.
struct guarded_layers {
    guarded<std::uint32_t> qweight;
    guarded<std::byte> image;
    gptq::direct_linear direct;
    gptq::linear tiled;

    explicit guarded_layers(gptq::packed_linear p)
        : qweight(std::span(p.qweight.data(), p.qweight.size())),
          image(gptq::linear(p).image()),
          direct([&] {
              p.qweight = {qweight.values(), nullptr};
              return std::move(p);
          }()),
          tiled(gptq::shared_array<std::byte>(image.values(), nullptr)) {}
};

template <class Isa, class Layer, class X, class Y>
void check_last_output(const Layer& layer, const gptq::packed_linear& packed, X, Y) {
    std::mt19937 random(1);
    std::vector<X> values(packed.in_features);
    std::vector<float> rounded(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = gptq::round_to<X>(normal_values(random, 1)[0]);
        rounded[i] = gptq::to_float(values[i]);
    }
    const guarded<X> x(values);
    const guarded<Y> y(std::vector<Y>(packed.out_features));
    gptq::gemv<gptq::digits<2>, Isa>(layer, x.values(), y.values());
    const std::size_t last = packed.out_features - 1;
    const auto want = support::expected(packed, layer.layout(), gptq::digits<2>::limit, rounded, last);
    const double rounding = std::is_same_v<Y, float> ? 0 : 0x1p-8 * std::abs(want.value);
    CHECK(std::abs(static_cast<double>(gptq::to_float(y.values()[last])) - want.value) <= want.tolerance + rounding);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("nothing is read or written past the end of any buffer", "[kernels]", support::tested_isas) {
    std::mt19937 random(22);
    for (int i = 0; i < 100; ++i) {
        const auto options = support::any_options(random);
        INFO("case " << i << ": " << support::describe(options));
        const auto packed = support::random_layer(random, options);
        const guarded_layers layers(packed);
        check_last_output<TestType>(layers.tiled, packed, float{}, float{});
        check_last_output<TestType>(layers.direct, packed, float{}, float{});
        check_last_output<TestType>(layers.direct, packed, gptq::f16{}, gptq::bf16{});
        check_last_output<TestType>(layers.tiled, packed, gptq::bf16{}, gptq::f16{});
    }
}

#endif
