// Tests include/gptq/kernels/layout.hpp: where input columns go.
#include <gptq/kernels/layout.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <gptq/grid/grid.hpp>

#include "support/catch.hpp"
#include "support/random_layer.hpp"

using gptq::column_layout;
using gptq::impl::group_columns;

namespace {

std::vector<std::int32_t> contiguous_groups(std::size_t in, std::size_t group_size) {
    std::vector<std::int32_t> g_idx(in);
    for (std::size_t i = 0; i < in; ++i) g_idx[i] = static_cast<std::int32_t>(i / group_size);
    return g_idx;
}

column_layout contiguous_layout(std::size_t in, std::size_t group_size) {
    return group_columns(contiguous_groups(in, group_size), (in + group_size - 1) / group_size, 4).layout;
}

}  // namespace

TEST_CASE("groups of whole blocks in order need no map", "[kernels]") {
    for (const std::size_t group_size : {32U, 64U, 128U, 256U, 4096U}) {
        const auto layout = contiguous_layout(4096, group_size);
        CHECK(layout.columns.empty());
        CHECK(layout.positions == 4096);
        CHECK(layout.block == std::min<std::size_t>(group_size, 128));
    }
}

TEST_CASE("the block is the largest that pads next to nothing", "[kernels]") {
    CHECK(contiguous_layout(1000, 100).block == 128);  // 100 columns take 128 positions, whatever the block
    CHECK(contiguous_layout(1000, 100).positions == 10 * 128);
    CHECK(contiguous_layout(96 * 8, 96).block == 32);
    CHECK(contiguous_layout(64, 1).positions == 64 * 32);
    CHECK(contiguous_layout(300, 300).block == 64);             // 320 positions; 128 would take 384
    CHECK(contiguous_layout(128 * 40 + 32, 128).block == 128);  // a ragged last group does not shrink the rest
    CHECK(contiguous_layout(128 * 40 + 32, 128).positions == 128 * 41);
}

TEST_CASE("every column has one position, in a block of its own group", "[kernels]") {
    std::mt19937 random(41);
    for (int i = 0; i < 300; ++i) {
        const std::size_t in = 1 + support::below(random, 500), groups = 1 + support::below(random, 9);
        std::vector<std::int32_t> g_idx(in);
        for (auto& g : g_idx) g = static_cast<std::int32_t>(support::below(random, groups));
        const auto [layout, group_of_block] = group_columns(g_idx, groups, 4);
        INFO("case " << i << ": " << in << " columns, " << groups << " groups");
        REQUIRE(layout.in_features == in);
        REQUIRE(layout.positions % layout.block == 0);
        REQUIRE(group_of_block.size() == layout.blocks());
        std::vector<int> seen(in);
        for (std::size_t position = 0; position < layout.positions; ++position) {
            const std::size_t column = layout.column_at(position);
            if (column == column_layout::padding) continue;
            ++seen[column];
            REQUIRE(g_idx[column] == static_cast<std::int32_t>(group_of_block[position / layout.block]));
        }
        REQUIRE(std::ranges::count(seen, 1) == static_cast<std::ptrdiff_t>(in));
    }
}

TEST_CASE("layouts are equal when the columns lie equally", "[kernels]") {
    auto g_idx = contiguous_groups(256, 64);
    const auto layout = group_columns(g_idx, 4, 4).layout;
    CHECK(layout == group_columns(g_idx, 4, 4).layout);
    CHECK(layout == group_columns(g_idx, 7, 4).layout);  // groups without columns take no place
    CHECK(layout != group_columns(contiguous_groups(256, 32), 8, 4).layout);
    CHECK(layout != group_columns(g_idx, 4, 8).layout);  // other words, other order of digits
    CHECK(group_columns(g_idx, 4, 3).layout == group_columns(g_idx, 4, 8).layout);
    std::swap(g_idx[0], g_idx[255]);
    CHECK(layout != group_columns(g_idx, 4, 4).layout);
}
