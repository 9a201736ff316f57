// One Cholesky factor of the damped Hessian, made once and shared by all weights that see the same inputs.
//
// The solver takes columns in the order π. With H's rows and columns in the REVERSED order and
//     H + λI = L·Lᵀ
// the loss of an error E is ‖E·L‖², and column j of E·L depends on columns ≥ j alone: going from the last index to the
// first, each column can be rounded to its best value given all errors already made. No inverse is needed; the paper's
// factor of H⁻¹ is L⁻¹ read backwards. docs/theory.md derives it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <gptq/calib/blas.hpp>
#include <gptq/calib/hessian.hpp>
#include <gptq/calib/lower_tiles.hpp>
#include <gptq/calib/order.hpp>
#include <gptq/calib/tensor.hpp>
#include <gptq/calib/token_tile.hpp>
#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/transpose.hpp>
#include <gptq/core/view.hpp>

namespace gptq {

/// What a caller may choose about a factor.
struct factor_options {
    /// λ as a share of the mean of diag(H). More damps the error feedback, and always factors.
    double damp_percent = 0.01;
    /// In which the solver takes columns.
    act_order order = act_order::group_aware;
    /// The grid's group size, which act_order::group_aware must know (-1: one group); ignored by the other orders.
    std::ptrdiff_t group_size = 128;
    /// Treat dead inputs as the reference implementation does: H_jj = 1, counted in the mean. For comparisons only.
    bool reference = false;
};

inline namespace GPTQ_ISA {

/// The factor, and what was done to get it. Index p of `lower` is the column that is taken (n - 1 - p)-th.
template <real T = float>
struct factor {
    matrix<T> lower;                   ///< [n, n] L in the lower triangle; the upper one holds H
    std::vector<std::uint32_t> order;  ///< order[k] = the column taken k-th
    std::vector<T> diagonal;           ///< of H, in the order of `lower`
    std::vector<T> added;              ///< what was added to H's diagonal, in the order of `lower`
    std::vector<bool> dead;            ///< inputs that were 0 on every token, in the order of `lower`
    act_order how = act_order::none;   ///< what made `order`
    std::ptrdiff_t group_size = 0;     ///< of act_order::group_aware, else 0
    double unit = 1;                   ///< a power of two: `lower`, `diagonal` and `added` are those of H/unit
    double damping = 0;                ///< λ that was used
    unsigned retries = 0;              ///< how often λ had to grow before the factorization held
    bool diagonal_only = false;        ///< it never held: H was replaced by its diagonal (rounding to nearest)
    std::size_t dead_inputs = 0;       ///< inputs that were 0 on every token
    std::size_t tokens = 0;            ///< that H is made of
    std::size_t refused_tokens = 0;    ///< tokens left out for a NaN or an infinity
    double seconds = 0;                ///< that making the factor took

    /// The columns of weights that it serves.
    [[nodiscard]] std::size_t in_features() const noexcept { return order.size(); }
};

namespace impl {

/// Copies the lower triangle above the diagonal, in blocks that turn over in cache and are written in whole lines: a
/// column of a large matrix would meet the same few cache lines again and again.
template <class T, class E>
void complete_symmetric(matrix<T>& m, E& run) {
    constexpr std::size_t size = 64;
    const std::size_t n = m.shape()[0];
    const auto block = [&](std::size_t r, std::size_t c) {
        return view_of(m.data(), n, n).block(r, c, std::min(size, n - r), std::min(size, n - c));
    };
    run.for_each((n + size - 1) / size, [&](std::size_t t) {
        const std::size_t row = t * size;
        T turned[size * size];
        for (std::size_t col = 0; col <= row; col += size) {
            const matrix_view<const T> lower = block(row, col);
            const matrix_view<T> upper = block(col, row), copy = view_of(turned, lower.cols, lower.rows);
            transpose(lower, copy);
            for (std::size_t r = 0; r < upper.rows; ++r) {
                const std::size_t first = row == col ? r : 0;
                std::copy_n(copy.row_data(r) + first, upper.cols - first, upper.row_data(r) + first);
            }
        }
    });
}

/// Reorders a symmetric matrix in place: feature p becomes the one that was at source[p].
template <class T, class E>
void reorder(matrix<T>& m, const std::vector<std::uint32_t>& source, E& run) {
    const std::size_t n = source.size();
    for_each_row(n, n, run, [&](std::size_t r) {  // columns
        const std::vector<T> row(&m(r, 0), &m(r, 0) + n);
        for (std::size_t c = 0; c < n; ++c) m(r, c) = row[source[c]];
    });
    constexpr std::size_t together = 512;
    run.for_each((n + together - 1) / together, [&](std::size_t t) {  // rows, some columns of them, cycle by cycle
        const std::size_t first = t * together, width = std::min(together, n - first);
        T spare[together];
        std::vector<bool> placed(n, false);
        for (std::size_t start = 0; start < n; ++start) {
            if (placed[start]) continue;
            std::copy_n(&m(start, first), width, spare);
            std::size_t p = start;
            for (; source[p] != start; p = source[p]) {
                std::copy_n(&m(source[p], first), width, &m(p, first));
                placed[p] = true;
            }
            std::copy_n(spare, width, &m(p, first));
            placed[p] = true;
        }
    });
}

/// Cholesky in place by tiles of a fixed schedule, each a BLAS call on one thread: the same bits for every executor.
/// @returns whether every pivot stayed above rounding noise
template <class T, class E>
[[nodiscard]] bool cholesky(matrix<T>& m, E& run) {
    const std::size_t n = m.shape()[0];
    const std::size_t width = lower_tiles{n}.size;
    const lower_tiles tiles{n, width / 2};  // smaller than panels, so that threads end together
    const auto at = [&](std::size_t row, std::size_t col) { return m.data() + row * n + col; };
    for (std::size_t k = 0; k < n; k += width) {
        const std::size_t end = std::min(k + width, n);
        if (!blas::potrf(end - k, at(k, k), n)) return false;
        const std::size_t first = end / tiles.size, below = end < n ? tiles.per_side() - first : 0;
        run.for_each(below, [&](std::size_t t) {
            const std::size_t i = first + t;
            blas::trsm_right_transposed(tiles.extent(i), end - k, at(k, k), n, at(tiles.begin(i), k), n);
        });
        run.for_each(below * (below + 1) / 2, [&](std::size_t t) {
            const auto [bi, bj] = lower_tiles::at(t);
            const std::size_t i = first + bi, j = first + bj, row = tiles.begin(i), col = tiles.begin(j);
            if (i == j)
                blas::syrk(blas::plain, tiles.extent(i), end - k, T{-1}, at(row, k), n, T{1}, at(row, row), n);
            else
                blas::gemm(blas::plain, blas::transposed, tiles.extent(i), tiles.extent(j), end - k, T{-1}, at(row, k),
                           n, at(col, k), n, T{1}, at(row, col), n);
        });
    }
    return true;
}

/// A pivot that is rounding noise makes a factor of noise: it counts as "not positive definite".
template <class T>
[[nodiscard]] bool pivots_hold(const matrix<T>& lower, const std::vector<T>& diagonal) noexcept {
    for (std::size_t p = 0; p < diagonal.size(); ++p)
        if (!(lower(p, p) * lower(p, p) > std::numeric_limits<T>::epsilon() * diagonal[p])) return false;
    return true;
}

/// The power of two that H is divided by: 1, but where H comes so near the end of T's range that damping would leave
/// it.
template <class T>
[[nodiscard]] double unit_of(const hessian<T>& h) noexcept {
    constexpr int room = 24;  // bits: the largest damping is 10⁶ times the diagonal
    double largest = 0;
    for (std::size_t r = 0; r < h.in_features(); ++r)
        largest = std::max(largest, static_cast<double>(h.sum_row(r)[r]) * (h.weight() > 0 ? 2 / h.weight() : 0));
    const int excess = largest > 0 ? std::ilogb(largest) - (std::numeric_limits<T>::max_exponent - room) : 0;
    return excess > 0 && std::isfinite(largest) ? std::ldexp(1.0, excess) : 1;
}

/// The diagonal of a scaled Hessian, checked, and what damping needs to know of it.
template <class T>
struct diagonal_summary {
    std::vector<T> values;
    std::size_t dead = 0;
    double mean = 0;      ///< over the live inputs; 1 when all are dead
    T dead_diagonal = 0;  ///< what stands in for a dead input's 0
};

/// @throws numeric_error  H is not finite, or its diagonal negative
template <class T, class E>
[[nodiscard]] diagonal_summary<T> summarize(const matrix<T>& h, double unit, bool reference, E& run) {
    const std::size_t n = h.shape()[0];
    diagonal_summary<T> result;
    result.values.resize(n);
    std::vector<unsigned char> usable(n);
    for_each_row(n, n, run, [&](std::size_t r) {
        result.values[r] = h(r, r);
        usable[r] = all_finite(&h(r, 0), r + 1) && h(r, r) >= 0;
    });
    double total = 0;
    for (std::size_t r = 0; r < n; ++r) {
        if (usable[r] == 0)
            detail::fail<numeric_error>("factorize: the Hessian is not finite, or its diagonal negative, at feature ",
                                        r);
        result.dead += static_cast<std::size_t>(result.values[r] == 0);
        total += static_cast<double>(result.values[r]);
    }
    const std::size_t live = n - result.dead;
    if (reference) {
        result.mean = (total + static_cast<double>(result.dead) / unit) / static_cast<double>(n);
        result.dead_diagonal = static_cast<T>(1 / unit);
    } else {
        result.mean = live > 0 ? total / static_cast<double>(live) : 1.0;
        result.dead_diagonal = static_cast<T>(result.mean);
    }
    return result;
}

/// Factors f.lower, whose upper triangle repeats the lower one, raising the damping until it holds.
template <class T, class E>
void factor_damped(factor<T>& f, double mean, E& run) {
    const std::size_t n = f.in_features();
    std::vector<T> damped(n);
    const std::vector<T> dead = f.added;
    const double first_damping = f.damping;
    for (;; ++f.retries, f.damping = std::max(10 * f.damping, 1e-4 * mean)) {
        for (std::size_t p = 0; p < n; ++p) {
            f.added[p] = dead[p] + static_cast<T>(f.damping);
            f.lower(p, p) = damped[p] = f.diagonal[p] + f.added[p];
        }
        if (cholesky(f.lower, run) && pivots_hold(f.lower, damped)) return;
        f.diagonal_only = f.retries == 6 || !(10 * f.damping < static_cast<double>(std::numeric_limits<T>::max() / 2));
        for (std::size_t p = 0; p < n; ++p)
            for (std::size_t c = 0; c < p; ++c) f.lower(p, c) = f.diagonal_only ? T{0} : f.lower(c, p);
        if (f.diagonal_only) break;
    }
    f.damping = first_damping;
    for (std::size_t p = 0; p < n; ++p) {
        f.added[p] = dead[p] + static_cast<T>(f.damping);
        f.lower(p, p) = std::sqrt(f.diagonal[p] + f.added[p]);
    }
}

}  // namespace impl

/// Damps, orders and factors a Hessian; works in its memory when it is moved in.
///
/// It never fails on a finite Hessian. λ = damp_percent · mean(diag H over the live inputs). A dead input (H_jj = 0)
/// gets that mean as its diagonal: its column is then rounded to nearest, on its own. When the Cholesky factorization
/// does not hold, λ becomes max(10·λ, 1e-4·mean), at most six times; after that the diagonal alone is used, with the
/// first λ: codes are then the nearest ones.
///
/// @throws option_error   damp_percent is negative or not finite; a group size of 0
/// @throws numeric_error  H is not finite: names the first feature
/// @cost   in_features³/3 flops; a retry costs the same again
template <real T, executor E = threads>
[[nodiscard]] factor<T> factorize(hessian<T> h, const factor_options& options = {}, E&& run = {}) {
    if (!(options.damp_percent >= 0 && options.damp_percent <= 1e6))
        detail::fail<option_error>("factorize: damp_percent is ", options.damp_percent,
                                   ", expected 0 … 1e6 (0.01 is usual)");
    if (options.group_size == 0 || options.group_size < -1)
        detail::fail<option_error>("factorize: group_size is ", options.group_size, ", expected -1 or at least 1");
    const auto start = std::chrono::steady_clock::now();
    const std::size_t n = h.in_features();
    factor<T> f;
    f.how = options.order;
    f.group_size = options.order == act_order::group_aware ? options.group_size : 0;
    f.tokens = h.tokens();
    f.refused_tokens = h.refused_tokens();
    f.unit = impl::unit_of(h);
    f.lower = std::move(h).take_matrix(run, 1 / f.unit);

    const auto diagonal = impl::summarize(f.lower, f.unit, options.reference, run);
    f.dead_inputs = diagonal.dead;
    f.damping = options.damp_percent * diagonal.mean;
    const std::size_t group = options.group_size > 0 ? static_cast<std::size_t>(options.group_size) : n;
    f.order = column_order<T>(diagonal.values, options.order, group);
    impl::complete_symmetric(f.lower, run);
    impl::reorder(f.lower, std::vector<std::uint32_t>(f.order.rbegin(), f.order.rend()), run);
    f.added.resize(n);
    for (std::size_t p = 0; p < n; ++p) {
        f.diagonal.push_back(f.lower(p, p));
        f.dead.push_back(f.diagonal[p] == 0);
        if (f.dead[p]) f.added[p] = diagonal.dead_diagonal;
    }
    const blas::single_threaded guard;
    impl::factor_damped(f, diagonal.mean, run);
    f.damping *= f.unit;
    f.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return f;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
