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

namespace gptq {

/// A matrix somewhere in memory: element (r, c) is data[r·row_stride + c·col_stride]. Strides in elements, may be
/// negative.
template <class T>
struct matrix_view {
    using value_type = std::remove_const_t<T>;

    T* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t col_stride = 1;

    [[nodiscard]] constexpr T* row_data(std::size_t r) const noexcept {
        return data + static_cast<std::ptrdiff_t>(r) * row_stride;
    }
    /// Row r as a span; only for views whose rows are contiguous.
    [[nodiscard]] constexpr std::span<T> row(std::size_t r) const noexcept { return {row_data(r), cols}; }
    [[nodiscard]] constexpr T& operator()(std::size_t r, std::size_t c) const noexcept {
        return row_data(r)[static_cast<std::ptrdiff_t>(c) * col_stride];
    }
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

/// The view of a rank 2 tensor. Nothing is copied, whatever the strides.
/// @throws shape_error  the tensor has not two axes
template <dense_array M>
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

template <class T>
[[nodiscard]] constexpr matrix_view<T> view_of(matrix_view<T> view) noexcept {
    return view;
}

/// Whatever view_of accepts as a single argument.
template <class M>
concept matrix_like = requires(M& m) {
    view_of(m);
};

/// The element type of a matrix-like argument, without const.
template <matrix_like M>
using element_t = typename decltype(view_of(std::declval<M&>()))::value_type;

/// A read-only view of any matrix-like argument.
template <matrix_like M>
[[nodiscard]] matrix_view<const element_t<const M>> const_view_of(const M& m) {
    return view_of(m);
}

}  // namespace gptq
