// GPTQ as its paper writes it down and its descendants run it, on BLAS: invert the Hessian, factor it again, then take
// one column at a time, in blocks of 128. What solver_bench compares with; codes agree with the library's but for ties.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include <gptq/calib/blas.hpp>
#include <gptq/grid/uniform_grid.hpp>

extern "C" void spotri_(const char* uplo, const xt::blas_index_t* n, float* a, const xt::blas_index_t* lda,
                        xt::blas_index_t* info, std::size_t);

namespace bench {

/// h ← U with UᵀU = H⁻¹, in its upper triangle: three cubic steps.
inline void factor_of_inverse(std::size_t n, std::vector<float>& h) {
    const auto size = static_cast<xt::blas_index_t>(n);
    xt::blas_index_t info = 0;
    if (!gptq::blas::potrf(n, h.data(), n)) throw std::runtime_error("textbook: H is not positive definite");
    spotri_("U", &size, h.data(), &size, &info, 1);
    for (std::size_t r = 0; r < n; ++r)
        for (std::size_t c = 0; c < r; ++c) h[c * n + r] = h[r * n + c];
    spotrf_("L", &size, h.data(), &size, &info, 1);  // column-major lower: our upper triangle
    if (info != 0) throw std::runtime_error("textbook: the inverse of H is not positive definite");
}

/// @param w  [rows, n] weights; out: quantized
/// @param h  [n, n] damped Hessian; destroyed
inline void textbook_gptq(std::size_t rows, std::size_t n, std::vector<float>& w, std::vector<float>& h,
                          const gptq::uniform_grid& grid) {
    constexpr std::size_t block = 128;
    factor_of_inverse(n, h);
    const auto group = static_cast<std::size_t>(grid.group_size);
    std::vector<gptq::affine> fitted(rows);
    std::vector<float> part(rows * block), errors(rows * block);
    for (std::size_t first = 0; first < n; first += block) {
        const std::size_t width = std::min(block, n - first);
        for (std::size_t r = 0; r < rows; ++r) std::copy_n(&w[r * n + first], width, &part[r * block]);
        for (std::size_t j = 0; j < width; ++j) {
            const float* const u = &h[(first + j) * n + first];
            for (std::size_t r = 0; r < rows; ++r) {
                if ((first + j) % group == 0)
                    fitted[r] = grid.fit(std::span<const float>(&w[r * n + first + j], std::min(group, n - first - j)));
                float* const row = &part[r * block];
                const float q = grid.dequantize(grid.round(row[j], fitted[r]), fitted[r]);
                const float e = errors[r * block + j] = (row[j] - q) / u[j];
                for (std::size_t i = j; i < width; ++i) row[i] -= e * u[i];
                w[r * n + first + j] = q;
            }
        }
        const std::size_t next = first + width;
        if (next < n)
            gptq::blas::gemm(gptq::blas::plain, gptq::blas::plain, rows, n - next, width, -1.0F, errors.data(), block,
                             &h[first * n + next], n, 1.0F, &w[next], n);
    }
}

}  // namespace bench
