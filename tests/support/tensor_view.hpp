// Rows of a matrix as xtensor's views show them: a range that begins at the first of these rows, of which data() is
// where the whole matrix begins. Kernels' tests have no xtensor.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace support {

struct tensor_view {
    std::span<float> matrix;
    std::size_t first, rows, cols;

    [[nodiscard]] float* data() const { return matrix.data(); }
    [[nodiscard]] std::size_t data_offset() const { return first * cols; }
    [[nodiscard]] std::size_t dimension() const { return 2; }
    [[nodiscard]] std::array<std::size_t, 2> shape() const { return {rows, cols}; }
    [[nodiscard]] std::array<std::size_t, 2> strides() const { return {cols, 1}; }

    [[nodiscard]] float* begin() const { return data() + data_offset(); }
    [[nodiscard]] float* end() const { return begin() + rows * cols; }
    [[nodiscard]] std::size_t size() const { return rows * cols; }
};

}  // namespace support
