// Outputs in another order: the documented one of llama.cpp, and everything of an output moving together.
#include <gptq/pack/row_order.hpp>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "pack/random_layer.hpp"
#include "support/catch.hpp"

namespace row_order_test {

using namespace gptq;
using order = std::vector<std::size_t>;

TEST_CASE("rows of a head are dealt as documented, each head on its own", "[pack]") {
    CHECK(llama_row_order(4, 1) == order{0, 2, 1, 3});
    CHECK(llama_row_order(8, 1) == order{0, 4, 1, 5, 2, 6, 3, 7});
    CHECK(llama_row_order(8, 2) == order{0, 2, 1, 3, 4, 6, 5, 7});
    CHECK(llama_row_order(2, 1) == order{0, 1});
    CHECK_THROWS_AS(llama_row_order(8, 0), option_error);
    CHECK_THROWS_AS(llama_row_order(8, 3), option_error);
    CHECK_THROWS_AS(llama_row_order(6, 2), option_error);
}

TEST_CASE("codes, scales, zero points and bias of an output move together", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 8U);
    const auto format = GENERATE(zero_format::v1, zero_format::v2);
    const auto q = random_layer(37, 96, {.bits = bits, .group_size = 32}, true);
    packed_linear p = pack(q, format);
    for (std::size_t o = 0; o < p.out_features; ++o) p.bias.push_back(static_cast<float>(o));
    order shuffled(p.out_features);
    std::iota(shuffled.begin(), shuffled.end(), std::size_t{0});
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(6));

    const packed_linear moved = permute_outputs(p, shuffled);
    CHECK_NOTHROW(check(moved));
    CHECK(moved.zeros == format);
    std::size_t wrong = 0;
    for (std::size_t o = 0; o < p.out_features; ++o) {
        for (std::size_t i = 0; i < p.in_features; ++i) wrong += value_at(moved, o, i) != value_at(p, shuffled[o], i);
        for (std::size_t k = 0; k < p.groups; ++k) wrong += zero_at(moved, o, k) != zero_at(p, shuffled[o], k);
        wrong += moved.bias[o] != p.bias[shuffled[o]];
    }
    CHECK(wrong == 0);

    const auto before_packing = pack(permute_outputs(q, shuffled), format);
    CHECK(before_packing.qweight == moved.qweight);
    CHECK(before_packing.qzeros == moved.qzeros);
    CHECK(before_packing.scales == moved.scales);
}

TEST_CASE("an order that loses or repeats an output is refused", "[pack]") {
    const auto q = random_layer(4, 32, {.bits = 4, .group_size = 32});
    const packed_linear p = pack(q);
    CHECK_THROWS_AS(permute_outputs(p, order{0, 1, 2}), shape_error);
    CHECK_THROWS_AS(permute_outputs(p, order{0, 1, 2, 2}), option_error);
    CHECK_THROWS_AS(permute_outputs(p, order{0, 1, 2, 4}), option_error);
    CHECK_THROWS_AS(permute_outputs(q, order{0, 1, 1, 3}), option_error);
    auto broken = q;
    broken.codes.pop_back();
    CHECK_THROWS_AS(permute_outputs(broken, order{0, 1, 2, 3}), shape_error);
}

}  // namespace row_order_test
