// Packed layers of random codes, scales and zero points, and what their product with x must be.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/pack/packed_linear.hpp>

namespace support {

struct layer_options {
    std::size_t out = 16;
    std::size_t in = 128;
    unsigned bits = 4;
    std::ptrdiff_t group_size = 128;
    bool sym = false;        ///< every zero point in the middle
    bool act_order = false;  ///< groups scattered over the columns
    bool bias = false;
    gptq::zero_format zeros = gptq::zero_format::v2;
    gptq::scale_type scales = gptq::scale_type::f16;
};

inline std::size_t below(std::mt19937& random, std::size_t n) { return random() % n; }

inline std::uint32_t random_word(std::mt19937& random) { return static_cast<std::uint32_t>(random()); }

inline std::vector<float> normal_values(std::mt19937& random, std::size_t count) {
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& v : values) v = normal(random);
    return values;
}

inline gptq::packed_linear random_layer(std::mt19937& random, const layer_options& o) {
    gptq::packed_linear p;
    p.out_features = o.out;
    p.in_features = o.in;
    p.groups = gptq::group_count(o.in, o.group_size);
    p.bits = o.bits;
    p.zeros = o.zeros;
    p.stored_scales = o.scales;
    std::vector<std::uint32_t> qweight(gptq::words_for(o.in, o.bits) * o.out);
    for (auto& word : qweight) word = random_word(random);
    p.qweight = std::move(qweight);
    const std::size_t zero_words = gptq::words_for(o.out, o.bits);
    p.qzeros.resize(p.groups * zero_words);
    const std::uint32_t middle = (1U << (o.bits - 1)) - (o.zeros == gptq::zero_format::v1 ? 1U : 0U);
    for (std::size_t k = 0; k < p.groups; ++k)
        for (std::size_t i = 0; i < o.out; ++i)
            gptq::or_field(p.qzeros.data() + k * zero_words, 1, i, o.bits, o.sym ? middle : random_word(random));
    p.scales.resize(p.groups * o.out);
    for (float& s : p.scales)
        s = gptq::rounded_to(o.scales, 0.001F + 0.01F * static_cast<float>(below(random, 1000)) / 1000);
    p.g_idx.resize(o.in);
    const std::size_t group = o.group_size > 0 ? static_cast<std::size_t>(o.group_size) : o.in;
    for (std::size_t i = 0; i < o.in; ++i) p.g_idx[i] = static_cast<std::int32_t>(i / group);
    if (o.act_order) std::shuffle(p.g_idx.begin(), p.g_idx.end(), random);
    if (o.bias) p.bias = normal_values(random, o.out);
    return p;
}

/// A layer of any size up to 70 x 300, any bits, groups, order and types.
inline layer_options any_options(std::mt19937& random) {
    const auto one_of = [&](auto... choices) {
        const std::common_type_t<decltype(choices)...> list[] = {choices...};
        return list[below(random, sizeof...(choices))];
    };
    layer_options o;
    o.out = 1 + below(random, 70);
    o.in = 1 + below(random, 300);
    o.bits = one_of(2U, 3U, 4U, 8U);
    o.group_size = one_of(-1, 1, 7, 32, 64, 100, 128);
    o.sym = one_of(false, true);
    o.act_order = one_of(false, true);
    o.bias = one_of(false, true);
    o.zeros = one_of(gptq::zero_format::v1, gptq::zero_format::v2);
    o.scales = one_of(gptq::scale_type::f16, gptq::scale_type::bf16, gptq::scale_type::f32);
    return o;
}

inline std::string describe(const layer_options& o) {
    return gptq::detail::text(o.out, " x ", o.in, ", ", o.bits, " bits, group size ", o.group_size,
                              o.act_order ? ", act-order" : "", o.sym ? ", symmetric" : "", o.bias ? ", bias" : "");
}

/// Output o of Ŵ·x + bias, and how far from it gemv may be.
struct expected_output {
    double value = 0;
    double tolerance = 0;
};

/// The bound that kernels/gemv.hpp states, term by term.
/// @param limit  what the largest magnitude of a block becomes
inline expected_output expected(const gptq::packed_linear& p, const gptq::column_layout& layout, std::int32_t limit,
                                std::span<const float> x, std::size_t o) {
    constexpr double u = 0x1p-24;
    const auto roundings = static_cast<double>(layout.blocks() + 8);
    expected_output y;
    for (std::size_t b = 0; b < layout.blocks(); ++b) {
        double weights = 0, largest = 0;
        for (std::size_t i = b * layout.block; i < (b + 1) * layout.block; ++i) {
            const std::size_t column = layout.column_at(i);
            if (column == gptq::column_layout::padding) continue;
            const double w = gptq::value_at(p, o, column), v = x[column];
            y.value += w * v;
            y.tolerance += roundings * u * std::abs(w * v);
            weights += std::abs(w);
            largest = std::max(largest, std::abs(v));
        }
        y.tolerance += weights * (largest < 0x1p-100 ? largest : 0.51 * largest / limit);
    }
    if (!p.bias.empty()) {
        y.value += p.bias[o];
        y.tolerance += u * std::abs(y.value);
    }
    return y;
}

}  // namespace support
