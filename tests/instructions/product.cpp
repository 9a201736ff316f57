// product LAYER BITS DIGITS TOKENS: multiplies a layer of 64 x 4096 weights in groups of 128 with activations that are
// quantized already. count.py has valgrind count the instructions of `product` alone.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string_view>
#include <type_traits>
#include <vector>

#include <gptq/runtime.hpp>

namespace {

constexpr std::size_t out = 64, in = 4096, group = 128;

gptq::packed_linear random_layer(unsigned bits) {
    std::mt19937 random(1);
    gptq::packed_linear p;
    p.out_features = out;
    p.in_features = in;
    p.groups = in / group;
    p.bits = bits;
    std::vector<std::uint32_t> words(gptq::words_for(in, bits) * out);
    for (auto& word : words) word = static_cast<std::uint32_t>(random());
    p.qweight = std::move(words);
    p.qzeros.resize(p.groups * gptq::words_for(out, bits));
    p.scales.assign(p.groups * out, 0.25F);
    for (std::size_t i = 0; i < in; ++i) p.g_idx.push_back(static_cast<std::int32_t>(i / group));
    return p;
}

}  // namespace

/// What is counted.
template <class Layer, class Digits>
[[gnu::noinline]] void product(const Layer& layer, const gptq::activations<Digits>& x, gptq::matrix_view<float> y) {
    gptq::gemm(layer, x, y);
}

namespace {

template <class Digits, class Layer>
void multiply(const Layer& layer, std::size_t tokens) {
    const std::vector<float> values(tokens * in, 0.5F);
    std::vector<float> y(tokens * out);
    gptq::activations<Digits> x(layer.layout());
    x.assign(gptq::view_of(values.data(), tokens, in));
    product(layer, x, gptq::view_of(y.data(), tokens, out));
}

template <class Layer>
void multiply(const Layer& layer, std::string_view digits, std::size_t tokens) {
    if (digits == "1") return multiply<gptq::digits<1>>(layer, tokens);
    if (digits == "2") return multiply<gptq::digits<2>>(layer, tokens);
    multiply<gptq::digits<3>>(layer, tokens);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) return 2;
    const auto packed = random_layer(static_cast<unsigned>(std::atoi(arguments[2])));
    const auto tokens = static_cast<std::size_t>(std::atoi(arguments[4]));
    if (std::string_view(arguments[1]) == "direct")
        multiply(gptq::direct_linear(packed), arguments[3], tokens);
    else
        multiply(gptq::linear(packed), arguments[3], tokens);
}
