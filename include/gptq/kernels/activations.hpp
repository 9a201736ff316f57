// Activations as the kernels read them: whole numbers of one, two or three base-256 digits, a scale per block.
//
// In a block whose largest magnitude is M, x ≈ scale·q with scale = M / limit and q = round(x / scale). With the
// offset c = 128·(1 + 256 + …), the bytes of q + c, each less 128, are the digits d0, d1, … of
// q = d0 + 256·d1 + …: every digit is in -128 … 127, and no carry runs between them.
//
// Error. Writing u for 2^-24, |x - scale·q| <= scale/2 + 4u·|x|: half a unit of the last digit, and the roundings of
// the scale, its reciprocal and their product. Blocks below 2^-100 everywhere count as zeros, because the scale's
// reciprocal must stay finite. A block with a NaN or an infinity gets the scale NaN, and makes every output NaN.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/one_of.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/view.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/kernels/step.hpp>

namespace gptq {

/// How precisely activations are represented: 8, 16 (the default everywhere) or 24 bits relative to their block's
/// largest. One digit is what other int8 kernels do; two cost about the same memory traffic; three are at f32's level.
template <int Planes>
requires(Planes >= 1 && Planes <= 3) struct digits {
    static constexpr int planes = Planes;  ///< digits of an activation, each 8 bits
    /// d0 + 256·d1 fits one 32-bit accumulator over a block; d2 has one of its own.
    static constexpr int accumulators = Planes == 3 ? 2 : 1;
    /// What the largest magnitude of a block becomes. With every digit at most 127 it is 127·(1 + 256 + 65536); with
    /// three digits the two roundings of x / scale reach half a unit there, hence one less.
    static constexpr std::int32_t limit = Planes == 1 ? 127 : Planes == 2 ? 32'639 : 8'355'710;
};

/// What an activation or an output may be stored as. Kernels convert; they compute in floats.
template <class T>
concept activation_float = detail::is_one_of<T, float, f16, bf16>;

namespace detail {

template <class R>
inline constexpr bool is_contiguous = requires(R& values) {  // without <ranges>, which takes long to compile
    requires std::contiguous_iterator<decltype(std::begin(values))>;
    std::size(values);
};
template <class R>
using iterator_of = decltype(std::begin(std::declval<R&>()));
template <class Reference>
inline constexpr bool is_writable = !std::is_const_v<std::remove_reference_t<Reference>>;

}  // namespace detail

/// One token's activations or outputs: std::vector, std::span, std::array, … A pointer does not say how many there are:
/// std::span(pointer, count).
template <class R>
concept activation_range = detail::is_contiguous<R> && activation_float<std::iter_value_t<detail::iterator_of<R>>>;

/// Activations or outputs of many tokens, a row each.
template <class M>
concept activation_matrix = matrix_like<M> && activation_float<element_t<const M>>;

/// Where outputs can be written: the same, not const.
template <class M>
concept output_matrix = activation_matrix<M> && detail::is_writable<decltype(*view_of(std::declval<M&>()).data)>;
/// For one token.
template <class R>
concept output_range = activation_range<R> && detail::is_writable<std::iter_reference_t<detail::iterator_of<R>>>;

/// digits<1>, digits<2> or digits<3>.
template <class D>
concept digit_format = detail::is_one_of<D, digits<1>, digits<2>, digits<3>>;

inline namespace GPTQ_ISA {
namespace impl {

/// A token's values as a matrix of one row. Its begin is where they are; data() of a view of xtensor's is where the
/// values begin that it is a view of.
template <class R>
[[nodiscard]] auto one_row(R& values) noexcept {
    return view_of(std::to_address(std::begin(values)), 1, std::size(values));
}

/// The digits of one step, plane by plane.
template <digit_format Digits>
struct step_digits {
    std::int8_t plane[Digits::planes][step_positions];
};

/// What a block's digits mean, and their sums: a weight is scale·(code - zero), so Σ w·x needs Σ x.
template <digit_format Digits>
struct block_terms {
    float scale = 0;
    std::int32_t sum[Digits::accumulators] = {};  ///< of d0 + 256·d1, and of d2
};

/// One token's activations.
template <digit_format Digits>
struct token_digits {
    const step_digits<Digits>* steps;
    const block_terms<Digits>* blocks;
};

/// The largest magnitude of a step, as the bits of a float: they are ordered as magnitudes are, with infinity and NaN
/// above all numbers.
[[nodiscard]] inline std::int32_t largest_magnitude(const float* x) noexcept {
    std::int32_t largest = 0;
    for (std::size_t i = 0; i < step_positions; ++i)
        largest = std::max(largest, std::bit_cast<std::int32_t>(x[i]) & 0x7FFF'FFFF);
    return largest;
}

/// The columns of a block's positions, as floats; 0 for padding.
template <activation_float X>
void gather(const column_layout& layout, std::size_t first, const X* x, std::ptrdiff_t stride, float* out) noexcept {
    if (layout.columns.empty() && stride == 1) {
        for (std::size_t i = 0; i < layout.block; ++i) out[i] = to_float(x[first + i]);
        return;
    }
    for (std::size_t i = 0; i < layout.block; ++i) {
        const std::size_t column = layout.column_at(first + i);
        out[i] = column < layout.in_features ? to_float(x[static_cast<std::ptrdiff_t>(column) * stride]) : 0;
    }
}

/// Whole numbers in the order of positions, dealt to bytes of fields.
template <unsigned CodesPerByte>
void deal(const std::int32_t (&q)[step_positions], std::int32_t (&dealt)[step_positions]) noexcept {
    for (std::size_t field = 0; field < step_positions / 4; ++field)
        for (std::size_t byte = 0; byte < 4; ++byte)
            dealt[4 * field + byte] = q[position_of(CodesPerByte, field, byte)];
}

/// Writes the digits of round(x·inverse) and adds them to the block's sums.
/// @pre  |x·inverse| rounds to at most 127·(1 + 256 + …)
template <digit_format Digits, unsigned CodesPerByte>
void split(const float* x, float inverse, step_digits<Digits>& out, block_terms<Digits>& terms) noexcept {
    constexpr std::int32_t offset = 128 * (Digits::planes == 1 ? 1 : Digits::planes == 2 ? 0x101 : 0x10101);
    std::int32_t in_order[step_positions], q[step_positions];
    for (std::size_t i = 0; i < step_positions; ++i) in_order[i] = static_cast<std::int32_t>(std::rint(x[i] * inverse));
    deal<CodesPerByte>(in_order, q);
    for (int p = 0; p < Digits::planes; ++p)
        for (std::size_t i = 0; i < step_positions; ++i)
            out.plane[p][i] = static_cast<std::int8_t>(((q[i] + offset) >> (8 * p)) - 128);
    std::int32_t sum = 0;
    for (const std::int32_t whole : q) sum += whole;
    if constexpr (Digits::accumulators == 2) {
        std::int32_t high = 0;
        for (std::size_t i = 0; i < step_positions; ++i) high += out.plane[2][i];
        terms.sum[1] += high;
        sum -= high * 65536;
    }
    terms.sum[0] += sum;
}

/// Quantizes one block of x, read in order, to `steps` steps.
template <digit_format Digits, unsigned CodesPerByte>
[[nodiscard]] block_terms<Digits> quantize_block(const float* x, step_digits<Digits>* out, std::size_t steps) noexcept {
    constexpr auto limit = static_cast<float>(Digits::limit);
    std::int32_t bits = 0;
    for (std::size_t s = 0; s < steps; ++s) bits = std::max(bits, largest_magnitude(x + s * step_positions));
    const auto largest = std::bit_cast<float>(bits);
    const bool finite = largest <= std::numeric_limits<float>::max();

    block_terms<Digits> terms;
    if (!finite || largest < 0x1p-100F) {
        std::fill_n(out, steps, step_digits<Digits>{});
        terms.scale = finite ? 0 : std::numeric_limits<float>::quiet_NaN();
        return terms;
    }
    terms.scale = largest / limit;
    const float inverse = limit / largest;
    for (std::size_t s = 0; s < steps; ++s) split<Digits, CodesPerByte>(x + s * step_positions, inverse, out[s], terms);
    return terms;
}

/// One token, block by block.
template <digit_format Digits, unsigned CodesPerByte, activation_float X>
void quantize_token(const column_layout& layout, const X* x, std::ptrdiff_t stride, step_digits<Digits>* steps,
                    block_terms<Digits>* blocks) noexcept {
    float gathered[largest_block];
    for (std::size_t b = 0; b < layout.blocks(); ++b) {
        const float* values = gathered;
        if constexpr (std::is_same_v<X, float>)
            if (layout.columns.empty() && stride == 1) values = x + b * layout.block;
        if (values == gathered) gather(layout, b * layout.block, x, stride, gathered);
        const std::size_t first = b * layout.steps_per_block();
        blocks[b] = quantize_block<Digits, CodesPerByte>(values, steps + first, layout.steps_per_block());
    }
}

/// The digits of some tokens. Memory only grows.
template <digit_format Digits>
class token_buffer {
public:
    /// Makes room for `tokens` tokens of a layout; their digits are then unspecified.
    /// @throws shape_error  more tokens than memory can address (rows of stride 0)
    void resize(const column_layout& layout, std::size_t tokens) {
        steps_per_token_ = layout.steps();
        blocks_per_token_ = layout.blocks();
        if (tokens > steps_.max_size() / std::max<std::size_t>(steps_per_token_, 1))
            detail::fail<shape_error>("activations: ", tokens, " tokens do not fit in memory");
        if (steps_.size() < tokens * steps_per_token_) steps_.resize(tokens * steps_per_token_);
        if (blocks_.size() < tokens * blocks_per_token_) blocks_.resize(tokens * blocks_per_token_);
    }

    /// Quantizes x[0], x[stride], x[2·stride], … as token t.
    template <activation_float X>
    void quantize(std::size_t t, const column_layout& layout, const X* x, std::ptrdiff_t stride) noexcept {
        step_digits<Digits>* steps = steps_.data() + t * steps_per_token_;
        block_terms<Digits>* blocks = blocks_.data() + t * blocks_per_token_;
        switch (layout.codes_per_byte) {
            case 4: return quantize_token<Digits, 4>(layout, x, stride, steps, blocks);
            case 2: return quantize_token<Digits, 2>(layout, x, stride, steps, blocks);
            default: return quantize_token<Digits, 1>(layout, x, stride, steps, blocks);
        }
    }

    [[nodiscard]] token_digits<Digits> operator[](std::size_t t) const noexcept {
        return {steps_.data() + t * steps_per_token_, blocks_.data() + t * blocks_per_token_};
    }

private:
    std::size_t steps_per_token_ = 0;
    std::size_t blocks_per_token_ = 0;
    std::vector<step_digits<Digits>> steps_;
    std::vector<block_terms<Digits>> blocks_;
};

}  // namespace impl

/// Quantized activations of one or more tokens, made once and multiplied with every layer of an equal layout: with q, k
/// and v, or with gate and up, where these have the same bits.
template <digit_format Digits = digits<2>>
class activations {
public:
    /// No tokens yet. Take the layout from a layer: activations<> a(layer.layout()).
    explicit activations(column_layout layout) : layout_(std::move(layout)) {}

    /// Quantizes one token.
    /// @param x  [in_features] of float, f16 or bf16; not kept
    /// @throws shape_error  x has another size; nothing is changed
    template <activation_range X>
    requires(!matrix_like<X>) void assign(const X& x) { assign(impl::one_row(x)); }

    /// Quantizes tokens x [tokens, in_features] of float, f16 or bf16, any strides. Memory is allocated only for more
    /// tokens than ever before.
    /// @throws shape_error  x has another number of columns; nothing is changed
    template <activation_matrix Inputs, executor E = serial>
    void assign(const Inputs& x, E&& workers = {}) {
        const auto view = const_view_of(x);
        detail::expect_equal("activations", "columns of x", layout_.in_features, view.cols);
        buffer_.resize(layout_, view.rows);
        tokens_ = view.rows;
        workers.for_each(
            tokens_, [&](std::size_t t) noexcept { buffer_.quantize(t, layout_, view.row_data(t), view.col_stride); });
    }

    /// Of the layers that these can be multiplied with.
    [[nodiscard]] const column_layout& layout() const noexcept { return layout_; }
    /// As many as were assigned last.
    [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }
    /// What the kernels read.
    [[nodiscard]] const impl::token_buffer<Digits>& buffer() const noexcept { return buffer_; }

private:
    column_layout layout_;
    std::size_t tokens_ = 0;
    impl::token_buffer<Digits> buffer_;
};

}  // namespace GPTQ_ISA
}  // namespace gptq
