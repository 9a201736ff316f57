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
// NaN or an infinity in x makes every output of its token NaN. f16 and bf16 outputs round once more, at the end. All of
// it as long as a weight's scale times a block's is a normal float: beyond, outputs are 0 or NaN.
//
// Results are the same bits for every executor, every number of tokens at once, and every instruction set.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/one_of.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/view.hpp>
#include <gptq/kernels/activations.hpp>
#include <gptq/kernels/direct_linear.hpp>
#include <gptq/kernels/isa.hpp>
#include <gptq/kernels/linear.hpp>
#include <gptq/kernels/multiply.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// A layer that gemv and gemm take.
template <class L>
concept multipliable = detail::is_one_of<L, linear, direct_linear>;

namespace impl {

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

/// Y [tokens, out_features] = X·Ŵᵀ + bias for many tokens.
/// @tparam Digits   the precision of the activations: digits<1>, digits<2> or digits<3>
/// @tparam Isa      one of isa::compiled; for comparisons
/// @param x        [tokens, in_features] of float, f16 or bf16, any strides, finite. Quantized some tokens at a time,
///                 into memory of this thread that only grows: nothing is allocated after the first call
/// @param y        [tokens, out_features] of float, f16 or bf16, any strides; must not overlap x
/// @param workers  any executor; one contiguous range of outputs per thread, fewer where there is little to do
/// @throws shape_error  before anything is written
/// @throws what the executor throws; y is then unspecified
template <digit_format Digits = digits<2>, instruction_set Isa = isa::native, multipliable Layer,
          activation_matrix Inputs, output_matrix Outputs, executor E = serial>
void gemm(const Layer& layer, const Inputs& x, Outputs&& y, E&& workers = {}) {
    const auto in = const_view_of(x);
    const auto out = view_of(y);
    detail::expect_equal("gemm", "columns of x", layer.in_features(), in.cols);
    detail::expect_equal("gemm", "columns of y", layer.out_features(), out.cols);
    detail::expect_equal("gemm", "rows of y", in.rows, out.rows);
    impl::scratch_tokens<Digits> tokens;
    for (std::size_t first = 0; first < in.rows; first += impl::tokens_per_pass) {
        const std::size_t count = std::min(impl::tokens_per_pass, in.rows - first);
        tokens.buffer.resize(layer.layout(), count);
        const auto quantize = [&](std::size_t t) noexcept {
            tokens.buffer.quantize(t, layer.layout(), in.row_data(first + t), in.col_stride);
        };
        impl::for_each_worth_it(workers, count, layer.in_features() * impl::work_of_an_activation, quantize);
        impl::multiply<Isa>(layer, tokens.buffer, 0, out.rows_from(first, count), workers);
    }
}

/// Y = X·Ŵᵀ + bias for activations that are quantized already.
/// @param x  of the layer's layout
/// @param y  [x.tokens(), out_features] of float, f16 or bf16, any strides
/// @throws shape_error  before anything is written
template <instruction_set Isa = isa::native, multipliable Layer, digit_format Digits, output_matrix Outputs,
          executor E = serial>
void gemm(const Layer& layer, const activations<Digits>& x, Outputs&& y, E&& workers = {}) {
    const auto out = view_of(y);
    if (x.layout() != layer.layout())
        detail::fail<shape_error>("gemm: the activations are not of the layer's layout (",
                                  layer.in_features() == x.layout().in_features ? "another g_idx or other bits"
                                                                                : "another number of input features",
                                  "); quantize them for this layer");
    detail::expect_equal("gemm", "columns of y", layer.out_features(), out.cols);
    detail::expect_equal("gemm", "rows of y", x.tokens(), out.rows);
    for (std::size_t first = 0; first < out.rows; first += impl::tokens_per_pass) {
        const std::size_t count = std::min(impl::tokens_per_pass, out.rows - first);
        impl::multiply<Isa>(layer, x.buffer(), first, out.rows_from(first, count), workers);
    }
}

/// y = Ŵ·x + bias for one token: gemm of one row. To quantize x once for several layers, see activations.
/// @param x  [in_features] of float, f16 or bf16, or activations of one token
/// @param y  [out_features] of float, f16 or bf16, must not overlap x
/// @throws shape_error  before anything is written
template <digit_format Digits = digits<2>, instruction_set Isa = isa::native, multipliable Layer, activation_range X,
          output_range Y, executor E = serial>
void gemv(const Layer& layer, const X& x, Y&& y, E&& workers = {}) {
    detail::expect_equal("gemv", "size of x", layer.in_features(), std::size(x));
    detail::expect_equal("gemv", "size of y", layer.out_features(), std::size(y));
    gemm<Digits, Isa>(layer, impl::one_row(x), impl::one_row(y), workers);
}

/// The same for activations of one token that are quantized already.
/// @throws shape_error  another layout, or not one token; before anything is written
template <instruction_set Isa = isa::native, multipliable Layer, digit_format Digits, output_range Y,
          executor E = serial>
void gemv(const Layer& layer, const activations<Digits>& x, Y&& y, E&& workers = {}) {
    detail::expect_equal("gemv", "size of y", layer.out_features(), std::size(y));
    gemm<Isa>(layer, x, impl::one_row(y), workers);
}

}  // namespace GPTQ_ISA
}  // namespace gptq
