// The one door to BLAS and LAPACK: four operations in our own names, row-major, on plain pointers.
// Nobody else includes xtensor-blas. The library makes its calls under single_threaded, so that results do not depend
// on how many threads a BLAS happens to have.
#pragma once

#include <concepts>
#include <cstddef>
#include <mutex>

// xtensor-blas brings CBLAS declarations of its own, which exclude <cblas.h> from a translation unit that includes
// this, and warnings that are not ours to mend.
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif
// cxxblas needs these three and includes none of them.
#include <algorithm>  // IWYU pragma: keep
#include <cmath>      // IWYU pragma: keep
#include <complex>    // IWYU pragma: keep

// First the configuration, which chooses CBLAS over the generic loops that are a hundred times slower.
#include <xtensor-blas/xblas_config.hpp>

#include <xflens/cxxblas/cxxblas.cxx>
#ifndef HAVE_CBLAS
#error "gptq needs a CBLAS: do not define XTENSOR_USE_FLENS_BLAS"
#endif
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include <gptq/core/config.hpp>
#include <gptq/core/one_of.hpp>

// LAPACK's Cholesky by its Fortran name, which every LAPACK has; the last argument is the hidden string length.
extern "C" {
void spotrf_(const char* uplo, const xt::blas_index_t* n, float* a, const xt::blas_index_t* lda, xt::blas_index_t* info,
             std::size_t);
void dpotrf_(const char* uplo, const xt::blas_index_t* n, double* a, const xt::blas_index_t* lda,
             xt::blas_index_t* info, std::size_t);
// OpenBLAS's thread control; absent from other libraries, hence weak.
[[gnu::weak]] void openblas_set_num_threads(int);
[[gnu::weak]] int openblas_get_num_threads();
}

namespace gptq {

/// The types that BLAS computes in.
template <class T>
concept real = detail::is_one_of<T, float, double>;

inline namespace GPTQ_ISA {
namespace blas {

using index = xt::blas_index_t;  ///< what BLAS counts in: 32 bits, or 64
using cxxblas::Transpose;
inline constexpr Transpose plain = cxxblas::NoTrans;     ///< op(A) = A
inline constexpr Transpose transposed = cxxblas::Trans;  ///< op(A) = Aᵀ

/// While any of these lives, OpenBLAS runs each call on the thread that makes it: our own threads are then the only
/// ones, and two layers of threading never multiply. The first saves OpenBLAS's setting, which is global, and the last
/// restores it. OpenBLAS built for OpenMP keeps a setting per thread, and other libraries have none that this class
/// knows: run these with OMP_NUM_THREADS=1, or their own likeness of it.
class single_threaded {
public:
    single_threaded() {
        if (openblas_set_num_threads == nullptr || openblas_get_num_threads == nullptr) return;
        const std::lock_guard lock(mutex_);
        if (living_++ > 0) return;
        before_ = openblas_get_num_threads();
        if (before_ > 1) openblas_set_num_threads(1);
    }
    ~single_threaded() {
        if (openblas_set_num_threads == nullptr || openblas_get_num_threads == nullptr) return;
        const std::lock_guard lock(mutex_);
        if (--living_ == 0 && before_ > 1) openblas_set_num_threads(before_);
    }
    single_threaded(const single_threaded&) = delete;
    single_threaded& operator=(const single_threaded&) = delete;

private:
    // NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): OpenBLAS's setting is global too
    inline static std::mutex mutex_;
    inline static int living_ = 0;
    inline static int before_ = 1;
    // NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)
};

/// C[m, n] ← beta·C + alpha·op(A)[m, k]·op(B)[k, n]. Leading dimensions in elements.
template <real T>
void gemm(Transpose op_a, Transpose op_b, std::size_t m, std::size_t n, std::size_t k, T alpha, const T* a,
          std::size_t lda, const T* b, std::size_t ldb, T beta, T* c, std::size_t ldc) noexcept {
    cxxblas::gemm(cxxblas::RowMajor, op_a, op_b, static_cast<index>(m), static_cast<index>(n), static_cast<index>(k),
                  alpha, a, static_cast<index>(lda), b, static_cast<index>(ldb), beta, c, static_cast<index>(ldc));
}

/// Lower triangle of C[n, n] ← beta·C + alpha·op(A)·op(A)ᵀ, where op(A) is [n, k].
template <real T>
void syrk(Transpose op_a, std::size_t n, std::size_t k, T alpha, const T* a, std::size_t lda, T beta, T* c,
          std::size_t ldc) noexcept {
    cxxblas::syrk(cxxblas::RowMajor, cxxblas::Lower, op_a, static_cast<index>(n), static_cast<index>(k), alpha, a,
                  static_cast<index>(lda), beta, c, static_cast<index>(ldc));
}

/// B[m, n] ← B·L⁻ᵀ, where L[n, n] is lower triangular.
template <real T>
void trsm_right_transposed(std::size_t m, std::size_t n, const T* l, std::size_t ldl, T* b, std::size_t ldb) noexcept {
    cxxblas::trsm(cxxblas::RowMajor, cxxblas::Right, cxxblas::Lower, transposed, cxxblas::NonUnit,
                  static_cast<index>(m), static_cast<index>(n), T{1}, l, static_cast<index>(ldl), b,
                  static_cast<index>(ldb));
}

/// B[m, n] ← B·L⁻¹, where L[n, n] is lower triangular.
template <real T>
void trsm_right(std::size_t m, std::size_t n, const T* l, std::size_t ldl, T* b, std::size_t ldb) noexcept {
    cxxblas::trsm(cxxblas::RowMajor, cxxblas::Right, cxxblas::Lower, plain, cxxblas::NonUnit, static_cast<index>(m),
                  static_cast<index>(n), T{1}, l, static_cast<index>(ldl), b, static_cast<index>(ldb));
}

/// B[m, n] ← L⁻ᵀ·B, where L[m, m] is lower triangular.
template <real T>
void trsm_left_transposed(std::size_t m, std::size_t n, const T* l, std::size_t ldl, T* b, std::size_t ldb) noexcept {
    cxxblas::trsm(cxxblas::RowMajor, cxxblas::Left, cxxblas::Lower, transposed, cxxblas::NonUnit, static_cast<index>(m),
                  static_cast<index>(n), T{1}, l, static_cast<index>(ldl), b, static_cast<index>(ldb));
}

/// B[m, n] ← Lᵀ·B, where L[m, m] is lower triangular.
template <real T>
void trmm_left_transposed(std::size_t m, std::size_t n, const T* l, std::size_t ldl, T* b, std::size_t ldb) noexcept {
    cxxblas::trmm(cxxblas::RowMajor, cxxblas::Left, cxxblas::Lower, transposed, cxxblas::NonUnit, static_cast<index>(m),
                  static_cast<index>(n), T{1}, l, static_cast<index>(ldl), b, static_cast<index>(ldb));
}

/// Cholesky A = L·Lᵀ in place, in the lower triangle of A[n, n]; the upper one is not touched.
/// @returns whether A was positive definite
template <real T>
[[nodiscard]] bool potrf(std::size_t n, T* a, std::size_t lda) noexcept {
    const char upper = 'U';  // LAPACK is column-major: its upper triangle is our lower one
    const auto size = static_cast<index>(n), stride = static_cast<index>(lda);
    index info = 0;
    if constexpr (std::same_as<T, float>)
        spotrf_(&upper, &size, a, &stride, &info, 1);
    else
        dpotrf_(&upper, &size, a, &stride, &info, 1);
    return info == 0;
}

}  // namespace blas
}  // namespace GPTQ_ISA
}  // namespace gptq
