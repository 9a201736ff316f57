// matrix_view: the one way in for everybody's tensors, and view_of, which makes one without copying.
// A view owns nothing: data must outlive it. Needs no tensor library; any container with xtensor's
// vocabulary (data, data_offset, shape, strides, dimension) is understood.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>

namespace gptq {

/// A matrix somewhere in memory: element (r, c) is data[r·row_stride + c·col_stride]. Strides in elements, may be
/// negative.
template <class T>
struct matrix_view {
    using value_type = std::remove_const_t<T>;  ///< of an element; T is const where the view only reads

    T* data = nullptr;              ///< element (0, 0)
    std::size_t rows = 0;           ///< how many
    std::size_t cols = 0;           ///< how many
    std::ptrdiff_t row_stride = 0;  ///< from an element to the one below it
    std::ptrdiff_t col_stride = 1;  ///< from an element to the one beside it

    /// Element (r, 0).
    [[nodiscard]] constexpr T* row_data(std::size_t r) const noexcept {
        return data + static_cast<std::ptrdiff_t>(r) * row_stride;
    }
    /// Row r as a span; only for views whose rows are contiguous.
    [[nodiscard]] constexpr std::span<T> row(std::size_t r) const noexcept { return {row_data(r), cols}; }
    /// Element (r, c). Not checked, as nothing here is.
    [[nodiscard]] constexpr T& operator()(std::size_t r, std::size_t c) const noexcept {
        return row_data(r)[static_cast<std::ptrdiff_t>(c) * col_stride];
    }
    /// Whether the elements of a row lie side by side.
    [[nodiscard]] constexpr bool rows_contiguous() const noexcept { return col_stride == 1; }
    /// Rows first … first + count - 1.
    [[nodiscard]] constexpr matrix_view rows_from(std::size_t first, std::size_t count) const noexcept {
        return {row_data(first), count, cols, row_stride, col_stride};
    }
    /// The `height` x `width` elements from (row, col) on.
    [[nodiscard]] constexpr matrix_view block(std::size_t row, std::size_t col, std::size_t height,
                                              std::size_t width) const noexcept {
        return {&(*this)(row, col), height, width, row_stride, col_stride};
    }
    /// The same, to read only.
    constexpr operator matrix_view<const T>() const noexcept  // NOLINT(google-explicit-constructor): as span does
        requires(!std::is_const_v<T>) {
        return {data, rows, cols, row_stride, col_stride};
    }
};

/// A tensor with memory behind it: xt::xtensor, xt::xarray, xt::adapt, xt::view of these, and look-alikes.
/// A lazy expression (a + b) has none: write xt::eval(a + b), and see the cost.
template <class M>
concept dense_array = requires(M& m) {
    { m.dimension() } -> std::convertible_to<std::size_t>;
    m.shape()[0];
    m.strides()[0];
    { m.data_offset() } -> std::convertible_to<std::size_t>;
    requires std::is_pointer_v<decltype(m.data())>;
};

namespace detail {

/// How many axes the type of a tensor's shape tells, as that of xt::xtensor does; 2 where only the tensor knows.
template <class Shape>
inline constexpr std::size_t axes_of = 2;
template <class Shape>
requires requires { std::tuple_size<Shape>::value; }
inline constexpr std::size_t axes_of<Shape> = std::tuple_size<Shape>::value;

template <class M>
inline constexpr bool has_two_axes = axes_of<std::remove_cvref_t<decltype(std::declval<M&>().shape())>> == 2;

}  // namespace detail

/// A dense array of two axes, or of as many as only it knows (xt::xarray): then view_of looks.
template <class M>
concept dense_matrix = dense_array<M> && detail::has_two_axes<M>;

/// The view of a rank 2 tensor. Nothing is copied, whatever the strides.
/// @throws shape_error  the tensor has not two axes
template <dense_matrix M>
[[nodiscard]] auto view_of(M& m) {
    using T = std::remove_pointer_t<decltype(m.data())>;
    detail::expect_equal("view_of", "number of axes", 2, m.dimension());
    const auto rows = static_cast<std::size_t>(m.shape()[0]);
    const auto cols = static_cast<std::size_t>(m.shape()[1]);
    // xtensor stores stride 0 for an axis of length 1: believe only a stride that is used.
    const auto row_stride = rows > 1 ? static_cast<std::ptrdiff_t>(m.strides()[0]) : static_cast<std::ptrdiff_t>(cols);
    const auto col_stride = cols > 1 ? static_cast<std::ptrdiff_t>(m.strides()[1]) : std::ptrdiff_t{1};
    return matrix_view<T>{m.data() + m.data_offset(), rows, cols, row_stride, col_stride};
}

/// The view of a row-major block at a plain pointer.
template <class T>
[[nodiscard]] constexpr matrix_view<T> view_of(T* data, std::size_t rows, std::size_t cols) noexcept {
    return {data, rows, cols, static_cast<std::ptrdiff_t>(cols), 1};
}

/// A view is its own.
template <class T>
[[nodiscard]] constexpr matrix_view<T> view_of(matrix_view<T> view) noexcept {
    return view;
}

/// Whatever view_of accepts as a single argument. All other memory is given as a view: view_of(pointer, rows, columns)
/// where row follows upon row, else matrix_view{pointer, rows, columns, row stride, column stride}.
template <class M>
concept matrix_like = requires(M& m) {
    view_of(m);  // expects a matrix_view, or a tensor in memory with two axes; of a lazy expression, xt::eval(…)
};

/// The element type of a matrix-like argument, without const.
template <matrix_like M>
using element_t = typename decltype(view_of(std::declval<M&>()))::value_type;

/// Weights or calibration inputs: a matrix of float, double, f16 or bf16.
template <class M>
concept float_matrix = matrix_like<M> && storable_float<element_t<const M>>;

/// A read-only view of any matrix-like argument.
template <matrix_like M>
[[nodiscard]] auto const_view_of(const M& m) {
    return matrix_view<const element_t<const M>>(view_of(m));
}

}  // namespace gptq
