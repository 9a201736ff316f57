// Reordering inputs and rewriting zero points: the layer must mean the same.
#include <gptq/pack/groups.hpp>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "io/raw_file.hpp"
#include "pack/random_layer.hpp"
#include "support/catch.hpp"

namespace groups_test {

using gptq::packed_linear;
using gptq::zero_format;
using order = std::vector<std::size_t>;

TEST_CASE("natural groups are runs of columns, of which the last may be short", "[pack]") {
    CHECK(gptq::natural_g_idx(5, 2) == std::vector<std::int32_t>{0, 0, 1, 1, 2});
    CHECK(gptq::natural_g_idx(3, 8) == std::vector<std::int32_t>{0, 0, 0});
}

TEST_CASE("columns are ordered by group, and within a group stay in their order", "[pack]") {
    CHECK(gptq::grouped_order(std::vector<std::int32_t>{1, 0, 1, 2, 0}) == order{1, 4, 0, 2, 3});
    CHECK(gptq::grouped_order(std::vector<std::int32_t>{0, 0, 1}) == order{0, 1, 2});
}

TEST_CASE("a layer without act-order has the same weights in another order, in natural groups", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 8U);
    const auto [out, in, group_size] =
        GENERATE(table<std::size_t, std::size_t, std::size_t>({{1, 8, 4}, {7, 33, 11}, {5, 300, 100}}));
    const packed_linear p =
        pack(random_layer(out, in, {.bits = bits, .group_size = static_cast<std::ptrdiff_t>(group_size)}, true));
    const auto [layer, from] = without_act_order(p);
    CHECK(layer.g_idx == gptq::natural_g_idx(in, group_size));
    CHECK(layer.qzeros == p.qzeros);
    CHECK(layer.scales == p.scales);
    std::size_t wrong = 0;
    for (std::size_t o = 0; o < out; ++o)
        for (std::size_t i = 0; i < in; ++i) wrong += value_at(layer, o, i) != value_at(p, o, from[i]);
    CHECK(wrong == 0);

    order inverse(in);
    for (std::size_t i = 0; i < in; ++i) inverse[from[i]] = i;
    const packed_linear back = permute_inputs(layer, inverse);
    CHECK(back.qweight == p.qweight);
    CHECK(back.g_idx == p.g_idx);
}

TEST_CASE("an order that is no permutation of the inputs is refused", "[pack]") {
    const packed_linear p = pack(random_layer(2, 3, {.bits = 4, .group_size = -1}));
    CHECK_THROWS_AS(permute_inputs(p, order{0, 1}), gptq::shape_error);
    CHECK(message_of<gptq::option_error>([&] {
              (void)permute_inputs(p, order{0, 1, 1});
          }) == "permute_inputs: the order has 1 twice, expected each of 0 … 2 once");
    CHECK(message_of<gptq::option_error>([&] {
              (void)permute_inputs(p, order{0, 3, 1});
          }) == "permute_inputs: the order has 3, expected each of 0 … 2 once");
}

TEST_CASE("zero points change their format and keep their meaning", "[pack]") {
    const unsigned bits = GENERATE(2U, 3U, 4U, 8U);
    const auto q = random_layer(7, 64, {.bits = bits, .group_size = 32});
    const packed_linear v1 = pack(q, zero_format::v1), v2 = pack(q, zero_format::v2);
    CHECK(with_zeros(v1, zero_format::v2).qzeros == v2.qzeros);
    CHECK(with_zeros(v2, zero_format::v1).qzeros == v1.qzeros);
    CHECK(with_zeros(v2, zero_format::v1).zeros == zero_format::v1);
    CHECK(with_zeros(v2, zero_format::v2).qzeros == v2.qzeros);
}

TEST_CASE("a zero point of 0 has no v1", "[pack]") {
    auto q = random_layer(2, 4, {.bits = 4, .group_size = -1});
    q.parameters[1].zero = 0;
    CHECK(contains(message_of<gptq::option_error>([&] { (void)with_zeros(pack(q), zero_format::v1); }),
                   "the zero point of output 1, group 0 is 0, which GPTQ v1 cannot store"));
}

TEST_CASE("a layer is symmetric when every zero point is in the middle", "[pack]") {
    auto q = random_layer(3, 8, {.bits = 4, .group_size = 4});
    for (auto& a : q.parameters) a.zero = 8;
    CHECK(is_symmetric(pack(q)));
    q.parameters.back().zero = 7;
    CHECK_FALSE(is_symmetric(pack(q)));
}

}  // namespace groups_test
