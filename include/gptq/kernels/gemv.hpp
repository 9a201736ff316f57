// y = Ŵ·x + bias, straight from packed weights: gemv for one token, gemm for many.
//
// Error. Against exact arithmetic on the same Ŵ and x, writing u for 2^-24, each output is within
//
//     Σ over blocks  0.51·scale·Σ|ŵ|  +  (blocks + 8)·u·Σ|ŵ·x|  +  u·|y| if there is a bias
//
// where scale = largest |x| of the block / digits::limit. First, half a unit of an activation's last digit; the 0.01 is
// for three digits, whose low two become a float before they meet the third: at most u·128·257·Σ|code - zero| of error.
// Second, at most 4u for an activation's own roundings (activations.hpp), 3u for those of a block (tile.hpp), u for
// each addition of a block, and u for what these do to one another. Blocks below 2^-100 everywhere count as zeros. A
// NaN or an infinity in x makes every output of its token NaN.
//
// Results are the same bits for every executor, every number of tokens at once, and every instruction set.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/view.hpp>
#include <gptq/kernels/activations.hpp>
#include <gptq/kernels/isa.hpp>
#include <gptq/kernels/linear.hpp>
#include <gptq/kernels/tile.hpp>

namespace gptq {
inline namespace GPTQ_ISA {
namespace impl {

/// Tokens whose digits gemm makes at a time: enough for a tile's weights to come from cache nearly always, few enough
/// for the digits to stay there too. From 8 to 64 made no difference.
inline constexpr std::size_t tokens_per_pass = 32;

/// Multiplies one tile with `Tokens` tokens at a time, then the rest with half as many, and so on down to one.
template <class Isa, int Bits, class Digits, int Tokens>
void multiply_tokens(const linear& layer, std::size_t tile, const token_buffer<Digits>& x, std::size_t token,
                     matrix_view<float> y) noexcept {
    const std::size_t first = tile * tile_outputs;
    const std::size_t outputs = std::min(tile_outputs, layer.out_features() - first);
    for (; token + Tokens <= y.rows; token += Tokens) {
        token_digits<Digits> some[Tokens];
        for (std::size_t t = 0; t < Tokens; ++t) some[t] = x[token + t];
        float sums[Tokens][tile_outputs];
        tile_kernel<Isa, Bits, Digits, Tokens>::multiply(layer, tile, some, sums);
        for (std::size_t t = 0; t < Tokens; ++t)
            for (std::size_t o = 0; o < outputs; ++o)
                y(token + t, first + o) = sums[t][o] + (layer.bias().empty() ? 0 : layer.bias()[first + o]);
    }
    if constexpr (Tokens > 1) multiply_tokens<Isa, Bits, Digits, Tokens / 2>(layer, tile, x, token, y);
}

/// Cuts the tiles into one contiguous range per thread: each then reads one sequential stream of weights.
template <class Isa, int Bits, class Digits, executor E>
void multiply_layer(const linear& layer, const token_buffer<Digits>& x, matrix_view<float> y, E& workers) {
    constexpr int at_once = std::max(1, Isa::partials_in_registers / Digits::planes);
    const std::size_t ranges = std::clamp<std::size_t>(workers.concurrency(), 1, layer.tiles());
    workers.for_each(ranges, [&](std::size_t r) noexcept {
        for (std::size_t tile = layer.tiles() * r / ranges; tile < layer.tiles() * (r + 1) / ranges; ++tile)
            multiply_tokens<Isa, Bits, Digits, at_once>(layer, tile, x, 0, y);
    });
}

/// The door from a layer's run-time bits to the kernels' compile-time ones.
template <class Isa, class Digits, executor E>
void multiply(const linear& layer, const token_buffer<Digits>& x, matrix_view<float> y, E& workers) {
    switch (layer.bits()) {
        case 2: return multiply_layer<Isa, 2>(layer, x, y, workers);
        case 3: return multiply_layer<Isa, 3>(layer, x, y, workers);
        case 4: return multiply_layer<Isa, 4>(layer, x, y, workers);
        default: return multiply_layer<Isa, 8>(layer, x, y, workers);
    }
}

/// This thread's digits between calls that bring none of their own.
template <class Digits>
token_buffer<Digits>& kept_tokens() noexcept {
    thread_local token_buffer<Digits> tokens;
    return tokens;
}

/// Takes them for one call and gives them back, so that memory is allocated once. Taken, because an executor may run
/// another multiplication on this thread while it waits; that one then finds none, and makes its own.
template <class Digits>
struct scratch_tokens {
    token_buffer<Digits> buffer = std::move(kept_tokens<Digits>());

    scratch_tokens() = default;
    scratch_tokens(const scratch_tokens&) = delete;
    scratch_tokens& operator=(const scratch_tokens&) = delete;
    ~scratch_tokens() { kept_tokens<Digits>() = std::move(buffer); }
};

}  // namespace impl

/// y = Ŵ·x + bias for one token.
/// @tparam Digits   the precision of the activations: digits<1>, digits<2> or digits<3>
/// @tparam Isa      one of isa::compiled; for comparisons
/// @param x         [in_features], finite. Quantized into memory of this thread that only grows: nothing is allocated
///                  after the first call. To quantize once for several layers, see activations.
/// @param y         [out_features], must not overlap x
/// @param workers   any executor; one contiguous range of outputs per thread
/// @throws shape_error  before anything is written
template <digit_format Digits = digits<2>, instruction_set Isa = isa::native, executor E = serial>
void gemv(const linear& layer, std::span<const float> x, std::span<float> y, E&& workers = {}) {
    detail::expect_equal("gemv", "size of x", layer.in_features(), x.size());
    detail::expect_equal("gemv", "size of y", layer.out_features(), y.size());
    impl::scratch_tokens<Digits> tokens;
    tokens.buffer.resize(layer.layout(), 1);
    tokens.buffer.quantize(0, layer.layout(), x.data(), 1);
    impl::multiply<Isa>(layer, tokens.buffer, view_of(y.data(), 1, y.size()), workers);
}

/// Y = X·Ŵᵀ + bias for tokens already quantized; their layout must equal the layer's.
/// @param y  [x.tokens(), out_features], any strides
/// @throws shape_error  before anything is written
template <instruction_set Isa = isa::native, digit_format Digits, matrix_like Outputs, executor E = serial>
void gemm(const linear& layer, const activations<Digits>& x, Outputs&& y, E&& workers = {}) {
    const matrix_view<float> out = view_of(y);
    if (x.layout() != layer.layout())
        detail::fail<shape_error>("gemm: the activations were laid out for a layer with other columns or groups (",
                                  x.layout().in_features, " inputs), expected the layout of this one (",
                                  layer.in_features(), " inputs)");
    detail::expect_equal("gemm", "rows of y", x.tokens(), out.rows);
    detail::expect_equal("gemm", "columns of y", layer.out_features(), out.cols);
    impl::multiply<Isa>(layer, x.buffer(), out, workers);
}

/// y = Ŵ·x + bias for one token already quantized.
/// @throws shape_error  before anything is written
template <instruction_set Isa = isa::native, digit_format Digits, executor E = serial>
void gemv(const linear& layer, const activations<Digits>& x, std::span<float> y, E&& workers = {}) {
    gemm<Isa>(layer, x, view_of(y.data(), 1, y.size()), workers);
}

/// Y = X·Ŵᵀ + bias. Row t of Y equals gemv of row t of X, bit for bit.
/// @param x  [tokens, in_features] floats, any strides; quantized a few tokens at a time, in memory kept as gemv's is
/// @param y  [tokens, out_features] floats, any strides; must not overlap x
/// @throws shape_error  before anything is written
template <digit_format Digits = digits<2>, instruction_set Isa = isa::native, matrix_like Inputs, matrix_like Outputs,
          executor E = serial>
void gemm(const linear& layer, const Inputs& x, Outputs&& y, E&& workers = {}) {
    const matrix_view<const float> in = const_view_of(x);
    const matrix_view<float> out = view_of(y);
    detail::expect_equal("gemm", "columns of x", layer.in_features(), in.cols);
    detail::expect_equal("gemm", "columns of y", layer.out_features(), out.cols);
    detail::expect_equal("gemm", "rows of y", in.rows, out.rows);
    impl::scratch_tokens<Digits> tokens;
    for (std::size_t first = 0; first < in.rows; first += impl::tokens_per_pass) {
        const std::size_t count = std::min(impl::tokens_per_pass, in.rows - first);
        tokens.buffer.resize(layer.layout(), count);
        workers.for_each(count, [&](std::size_t t) noexcept {
            tokens.buffer.quantize(t, layer.layout(), in.row_data(first + t), in.col_stride);
        });
        impl::multiply<Isa>(layer, tokens.buffer, out.rows_from(first, count), workers);
    }
}

}  // namespace GPTQ_ISA
}  // namespace gptq
