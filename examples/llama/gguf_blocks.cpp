#include "gguf_blocks.hpp"

#include <algorithm>
#include <array>
#include <span>

#include <gptq/core/error.hpp>

namespace llama {
namespace {

using gptq::block_type;
using gptq::ggml_type;
using gptq::matrix_view;
using gptq::packed_linear;

constexpr std::size_t block_columns = gptq::q8_0_block::elements;

// From the smallest to the largest.
constexpr std::array<ggml_type, 5> block_types = {ggml_type::q4_0, ggml_type::q4_1, ggml_type::q5_0, ggml_type::q5_1,
                                                  ggml_type::q8_0};

/// Calls f with the grid of a block type.
template <class F>
decltype(auto) with_grid(ggml_type type, F&& f) {
    switch (type) {
        case ggml_type::q4_0: return f(gptq::q4_0_grid{});
        case ggml_type::q4_1: return f(gptq::q4_1_grid{});
        case ggml_type::q5_0: return f(gptq::q5_0_grid{});
        case ggml_type::q5_1: return f(gptq::q5_1_grid{});
        default: return f(gptq::q8_0_grid{});
    }
}

/// Whether the columns of each block share a scale.
bool blocks_follow(std::span<const std::int32_t> g_idx) {
    if (g_idx.size() % block_columns != 0) return false;
    for (std::size_t i = 0; i < g_idx.size(); ++i)
        if (g_idx[i] != g_idx[i - i % block_columns]) return false;
    return true;
}

double square(double x) { return x * x; }

/// The sum of squared errors that a layer has left of its float weights, if they were spread evenly over each step.
double rounding_noise(const packed_linear& layer) {
    double sum = 0;
    for (const std::int32_t group : layer.g_idx)
        for (std::size_t o = 0; o < layer.out_features; ++o)
            sum += square(gptq::scale_at(layer, o, static_cast<std::size_t>(group))) / 12;
    return sum;
}

/// The sum of squared errors of rounding to the nearest values that blocks have.
double added_noise(const gptq::matrix<float>& weights, ggml_type type) {
    return with_grid(type, [&](auto grid) {
        const auto rounded = gptq::round_to_nearest(weights, grid);
        double sum = 0;
        for (std::size_t o = 0; o < rounded.out_features; ++o)
            for (std::size_t i = 0; i < rounded.in_features; ++i)
                sum += square(static_cast<double>(rounded.value(o, i)) - static_cast<double>(weights(o, i)));
        return sum;
    });
}

ggml_type choose_lossy(const packed_linear& layer) {
    constexpr double tolerable = 0.1;
    if (layer.in_features % block_columns != 0) return ggml_type::f16;
    const double noise = rounding_noise(layer);
    const auto weights = gptq::dequantize(gptq::unpack(layer));
    const auto enough = [&](ggml_type type) { return added_noise(weights, type) <= tolerable * noise; };
    const auto found = std::ranges::find_if(block_types, enough);
    return found == block_types.end() ? block_types.back() : *found;
}

}  // namespace

block_choice choose_blocks(const std::string& module, const packed_linear& layer, bool requantize) {
    try {
        return {gptq::exact_ggml_type(layer), true};
    } catch (const gptq::option_error& e) {
        if (!requantize)
            gptq::detail::fail<gptq::option_error>(module, " cannot be stored exactly: ", e.what(),
                                                   "; --requantize rounds such layers anew, which is lossy");
    }
    return {choose_lossy(layer), false};
}

std::vector<std::byte> to_blocks(const packed_linear& layer, block_choice choice) {
    if (choice.exact) return gptq::to_ggml(layer, choice.type);
    const auto weights = gptq::dequantize(gptq::unpack(layer));
    if (choice.type == ggml_type::f16)
        return gptq::io::to_bytes({weights.data(), weights.size()}, gptq::scale_type::f16);
    return rounded_to_blocks(gptq::const_view_of(weights), choice.type);
}

std::vector<std::byte> rounded_to_blocks(matrix_view<const float> weights, ggml_type type) {
    return with_grid(type, [&](auto grid) { return gptq::to_ggml(gptq::round_to_nearest(weights, grid)); });
}

std::vector<std::size_t> order_for_blocks(std::span<const std::int32_t> g_idx) {
    if (blocks_follow(g_idx)) return {};
    std::vector<std::size_t> order = gptq::grouped_order(g_idx);
    std::vector<std::int32_t> ordered;
    ordered.reserve(order.size());
    for (const std::size_t i : order) ordered.push_back(g_idx[i]);
    if (!blocks_follow(ordered)) order.clear();
    return order;
}

}  // namespace llama
