// Hessians that break solvers: singular, indefinite, of extreme sizes, or all of it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gptq/core/half.hpp>

#include "support/textbook.hpp"

namespace support {

/// What may be expected of a Hessian beyond codes on the grid.
enum class nature {
    diagonal,      ///< columns have nothing to do with each other: the codes are the nearest
    semidefinite,  ///< but for rounding: factors, and the loss is not far above rounding to nearest's
    indefinite,    ///< no Hessian of any inputs
};

struct hostile_hessian {
    std::string name;
    nature kind;
    table h;
};

/// (2/T)·XᵀX of `tokens` random tokens.
inline table gram(std::size_t n, std::size_t tokens) {
    std::mt19937 random(static_cast<std::uint32_t>(n + tokens));
    return support::random_hessian(random, n, tokens);
}

template <class Element>
table made_of(std::size_t n, Element&& element) {
    table h(n, n);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j <= i; ++j)
            h(i, j) = h(j, i) = element(static_cast<double>(i), static_cast<double>(j));
    return h;
}

template <class Element>
table diagonal_of(std::size_t n, Element&& element) {
    return made_of(n, [&](double i, double j) { return i == j ? element(i) : 0.0; });
}

inline table times(table h, double factor) {
    for (double& v : h.values) v *= factor;
    return h;
}

/// Every tenth input `size` times as large.
inline table with_outliers(table h, double size) {
    for (std::size_t i = 0; i < h.rows; ++i)
        for (std::size_t j = 0; j < h.rows; ++j) h(i, j) *= (i % 10 == 1 ? size : 1.0) * (j % 10 == 1 ? size : 1.0);
    return h;
}

inline bool even(double i) { return std::fmod(i, 2) == 0; }

/// Matrices of size n; `large` and `small` are numbers not far from the ends of the type's range.
inline std::vector<hostile_hessian> hostile_hessians(std::size_t n, double large, double small, double denormal) {
    using enum nature;
    const auto middle = static_cast<double>(n / 2), last = static_cast<double>(n - 1), size = last + 1;
    const auto few = gram(n, n / 2 + 1), many = gram(n, 3 * n);
    std::vector<hostile_hessian> all;
    const auto add = [&](const char* name, nature kind, table h) { all.push_back({name, kind, std::move(h)}); };

    add("zeros", diagonal, table(n, n));
    add("one live input", diagonal, diagonal_of(n, [&](double i) { return i == middle ? 3.0 : 0.0; }));
    add("one dead input", diagonal, diagonal_of(n, [&](double i) { return i == middle ? 0.0 : 3.0; }));
    add("a diagonal from 1 to a small number", diagonal,
        diagonal_of(n, [&](double i) { return std::pow(small, i / size); }));
    add("a diagonal of a large and a small number in turn", diagonal,
        diagonal_of(n, [&](double i) { return even(i) ? large : small; }));
    add("a diagonal of a large number", diagonal, diagonal_of(n, [&](double) { return large; }));
    add("one large number on a diagonal of ones", diagonal,
        diagonal_of(n, [&](double i) { return i == middle ? large : 1.0; }));
    add("a diagonal of a small number", diagonal, diagonal_of(n, [&](double) { return small; }));
    add("a diagonal of denormals", diagonal, diagonal_of(n, [&](double i) { return denormal * (1 + i); }));

    add("all ones", semidefinite, made_of(n, [](double, double) { return 1.0; }));
    add("ones with signs in turn", semidefinite,
        made_of(n, [](double i, double j) { return even(i + j) ? 1.0 : -1.0; }));
    add("rank one, from 1e4 to 1e-4", semidefinite,
        made_of(n, [&](double i, double j) { return std::pow(10.0, 4 - 4 * (i + j) / size); }));
    add("rank two", semidefinite, made_of(n, [](double i, double j) { return 1 + i * j; }));
    add("Hilbert's matrix", semidefinite, made_of(n, [](double i, double j) { return 1 / (1 + i + j); }));
    add("Pascal's matrix", semidefinite, made_of(n, [](double i, double j) {
            return std::exp(std::lgamma(i + j + 1) - std::lgamma(i + 1) - std::lgamma(j + 1));
        }));
    add("Vandermonde's matrix, squared", semidefinite, made_of(n, [&](double i, double j) {
            double sum = 0;
            for (double k = 1; k <= 2 * size; ++k) sum += std::pow(k / size, i + j);
            return sum;
        }));
    add("sinc: most eigenvalues are 0", semidefinite,
        made_of(n, [](double i, double j) { return i == j ? 0.2 : std::sin(0.2 * (i - j)) / (i - j); }));
    add("a Gaussian kernel", semidefinite,
        made_of(n, [](double i, double j) { return std::exp(-(i - j) * (i - j) / 100); }));
    add("correlation 0.9 of all", semidefinite, made_of(n, [](double i, double j) { return i == j ? 1.0 : 0.9; }));
    add("correlation 1 - 1e-7 of all", semidefinite,
        made_of(n, [](double i, double j) { return i == j ? 1.0 : 1 - 1e-7; }));
    add("correlation 0.9999 of neighbours", semidefinite,
        made_of(n, [](double i, double j) { return std::pow(0.9999, std::abs(i - j)); }));
    add("second differences", semidefinite, made_of(n, [](double i, double j) {
            return i == j ? 2.0 : i == j + 1 ? -1.0 : 0.0;
        }));
    add("an arrow", semidefinite, made_of(n, [&](double i, double j) {
            return i == j ? (i == last ? size : 1.0) : i == last ? 1.0 : 0.0;
        }));
    add("every input twice", semidefinite,
        made_of(n, [](double i, double j) { return std::floor(i / 2) == std::floor(j / 2) ? 1.0 : 0.0; }));
    add("every input and its opposite", semidefinite, made_of(n, [](double i, double j) {
            return std::floor(i / 2) != std::floor(j / 2) ? 0.0 : i == j ? 1.0 : -1.0;
        }));

    add("one token", semidefinite, gram(n, 1));
    add("fewer tokens than inputs", semidefinite, few);
    add("as many tokens as inputs", semidefinite, gram(n, n));
    add("outliers 1e4 times the rest", semidefinite, with_outliers(many, 1e4));
    add("outliers 1e8 times the rest", semidefinite, with_outliers(many, 1e8));
    add("outliers and few tokens", semidefinite, with_outliers(few, 1e4));
    add("times a large number", semidefinite, times(many, large / 1e4));
    add("times a small number", semidefinite, times(many, small));
    add("times a denormal", semidefinite, times(many, 100 * denormal));
    auto rounded = few;
    for (double& v : rounded.values) v = static_cast<double>(gptq::to_float(gptq::round_to<gptq::bf16>(v)));
    add("few tokens, and rounded to bf16", indefinite, rounded);
    auto lowered = many;
    for (std::size_t i = 0; i < n; ++i) lowered(i, i) *= 0.9;
    add("a tenth of the diagonal missing", indefinite, lowered);
    add("correlation -0.9 of all", indefinite, made_of(n, [](double i, double j) { return i == j ? 1.0 : -0.9; }));
    add("ones beside a diagonal of zeros", indefinite,
        made_of(n, [](double i, double j) { return i == j ? 0.0 : 1.0; }));
    add("a dead input with company", indefinite, made_of(n, [&](double i, double j) {
            return i != j ? 0.1 : i == middle ? 0.0 : 1.0;
        }));
    add("signs without a pattern", indefinite,
        made_of(n, [](double i, double j) { return i == j || std::sin(1000 * i + 77 * j) > 0 ? 1.0 : -1.0; }));
    add("one large number beside a diagonal of ones", indefinite, made_of(n, [&](double i, double j) {
            return i == j ? 1.0 : i == last && j == 0 ? large : 0.0;
        }));
    add("large numbers beside a diagonal of ones", indefinite,
        made_of(n, [&](double i, double j) { return i == j ? 1.0 : large; }));
    add("a rising diagonal, far from dominant", indefinite,
        made_of(n, [](double i, double j) { return i == j ? i : 10.0; }));

    auto garbage = many, other = many;
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = i + 1; j < n; ++j) {
            garbage(i, j) = even(static_cast<double>(j)) ? std::numeric_limits<double>::quiet_NaN()
                                                         : std::numeric_limits<double>::infinity();
            other(i, j) = -1e6;
        }
    add("no numbers above the diagonal, which is not read", semidefinite, garbage);
    add("other numbers above the diagonal", semidefinite, other);
    return all;
}

}  // namespace support
