// Tests include/gptq/kernels/tile.hpp on every instruction set at once, emulated: whole tiles give the portable bits.
#include <gptq/kernels/tile.hpp>

#include <cstddef>
#include <random>
#include <vector>

#include <gptq/kernels/activations.hpp>
#include <gptq/kernels/linear.hpp>

#include "support/catch.hpp"
#include "support/isas.hpp"
#include "support/random_layer.hpp"

using gptq::tile_outputs;

namespace {

/// One token times all tiles.
template <class Isa, int Bits, class Digits>
std::vector<float> product(const gptq::linear& layer, const gptq::activations<Digits>& x) {
    const gptq::column_layout& layout = layer.layout();
    const gptq::impl::token_digits<Digits> token[] = {x.buffer()[0]};
    std::vector<float> y(layer.tiles() * tile_outputs);
    for (std::size_t t = 0; t < layer.tiles(); ++t) {
        const gptq::tile_view tile = layer.tile(t);
        const auto steps = [&](std::size_t b) {
            return gptq::impl::tile_step{tile.words + b * layout.steps_per_block() * Bits};
        };
        gptq::impl::tile_sums sums{};
        gptq::impl::tile_kernel<Isa, Bits, Digits, 1>::add(
            steps, {tile.scales, tile.zeros, tile_outputs, layer.scales_stored_as(), layer.group_of_block().data()},
            {0, layout.blocks()}, layout.steps_per_block(), token, &sums);
        for (std::size_t o = 0; o < tile_outputs; ++o) y[t * tile_outputs + o] = sums.total[o] + sums.recent[o];
    }
    return y;
}

template <class Isa, int Bits, class Digits>
void check_tiles(std::mt19937& random, bool largest) {
    auto packed = support::random_layer(random, {.out = 40, .in = 700, .bits = Bits, .group_size = 32});
    if (largest) packed.qweight = std::vector(packed.qweight.size(), ~0U);
    const gptq::linear layer(packed);
    gptq::activations<Digits> x(layer.layout());
    x.assign(largest ? std::vector<float>(700, -1.0F) : support::normal_values(random, 700));
    CHECK(product<Isa, Bits>(layer, x) == product<gptq::isa::portable, Bits>(layer, x));
}

template <class Isa, int Bits>
void check_digits(std::mt19937& random) {
    for (const bool largest : {false, true}) {
        INFO(Bits << " bits" << (largest ? ", the largest codes" : ""));
        check_tiles<Isa, Bits, gptq::digits<1>>(random, largest);
        check_tiles<Isa, Bits, gptq::digits<2>>(random, largest);
        check_tiles<Isa, Bits, gptq::digits<3>>(random, largest);
    }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("an emulated instruction set multiplies tiles to the portable bits", "[kernels]",
                        support::tested_isas) {
    std::mt19937 random(41);
    check_digits<TestType, 2>(random);
    check_digits<TestType, 3>(random);
    check_digits<TestType, 4>(random);
    check_digits<TestType, 8>(random);
}
