// What a solve has to tell: how good the result is, which help it needed, where the time went.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdio>
#include <iomanip>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace gptq {

/// Losses are sums over all rows, in the units of H: tr(E·H·Eᵀ) = (2/T)·‖E·Xᵀ‖².
struct solve_report {
    std::size_t out_features = 0;  ///< rows of W
    std::size_t in_features = 0;   ///< columns of W
    double loss = 0;               ///< tr(E·H·Eᵀ), E = W - Ŵ
    double damped_loss = 0;        ///< of what was factored, H with damping or its diagonal: what the solver minimised

    std::optional<double> relative_error;  ///< ‖E·X‖²/‖W·X‖², on request
    std::optional<double> nearest_loss;    ///< `loss` of rounding to nearest on the same grid and groups, on request
    std::optional<std::size_t> clipped;    ///< weights beyond their group's range, where the grid tells

    double damping = 0;              ///< λ of the factor
    unsigned damping_retries = 0;    ///< how often λ had to grow before the factorization held
    bool diagonal_only = false;      ///< it never held: this is rounding to nearest
    std::size_t dead_inputs = 0;     ///< inputs that were 0 on every token
    std::size_t tokens = 0;          ///< that H is made of
    std::size_t refused_tokens = 0;  ///< tokens left out for a NaN or an infinity

    double seconds = 0;         ///< of the solve, by the clock; the factor is shared
    double factor_seconds = 0;  ///< of the factor, by the clock
    // Where the threads spent their time, summed over them:
    double prepare_seconds = 0;    ///< weights converted and brought in the factor's order
    double product_seconds = 0;    ///< matrix products of errors and factor
    double fit_seconds = 0;        ///< grids fitted to groups
    double recursion_seconds = 0;  ///< columns rounded inside blocks
    double measure_seconds = 0;    ///< relative_error and nearest_loss

    std::vector<double> row_losses;    ///< [out_features], of `loss`, on request
    std::vector<double> group_losses;  ///< [groups], of `damped_loss`, on request

    /// loss / nearest_loss: below 1 where GPTQ pays. 1 where both are 0.
    [[nodiscard]] std::optional<double> ratio_to_nearest() const {
        if (!nearest_loss) return std::nullopt;
        return *nearest_loss > 0 ? loss / *nearest_loss : (loss > 0 ? loss : 1.0);
    }
};

/// Calls f(name, value) for every single figure of a report, in the order of its members. A value is a number, a bool
/// or an optional number.
template <class F>
void for_each_field(const solve_report& r, F&& f) {
    f("out_features", r.out_features);
    f("in_features", r.in_features);
    f("loss", r.loss);
    f("damped_loss", r.damped_loss);
    f("relative_error", r.relative_error);
    f("nearest_loss", r.nearest_loss);
    f("ratio_to_nearest", r.ratio_to_nearest());
    f("clipped", r.clipped);
    f("damping", r.damping);
    f("damping_retries", r.damping_retries);
    f("diagonal_only", r.diagonal_only);
    f("dead_inputs", r.dead_inputs);
    f("tokens", r.tokens);
    f("refused_tokens", r.refused_tokens);
    f("seconds", r.seconds);
    f("factor_seconds", r.factor_seconds);
    f("prepare_seconds", r.prepare_seconds);
    f("product_seconds", r.product_seconds);
    f("fit_seconds", r.fit_seconds);
    f("recursion_seconds", r.recursion_seconds);
    f("measure_seconds", r.measure_seconds);
}

namespace detail {

/// A number that reads back as the same number, a bool as 0 or 1, an absent optional as nothing.
template <class N>
[[nodiscard]] std::string exact_text(const N& value) {
    if constexpr (requires { value.has_value(); }) {
        return value ? exact_text(*value) : std::string();
    } else if constexpr (std::floating_point<N>) {
        char digits[32];
        std::snprintf(digits, sizeof digits, "%.17g", static_cast<double>(value));
        return digits;
    } else {
        return std::to_string(value);
    }
}

}  // namespace detail

/// The names of a report's figures, comma-separated: the first line of a CSV file.
[[nodiscard]] inline std::string csv_header() {
    std::string line;
    for_each_field(solve_report{}, [&](std::string_view name, const auto&) {
        if (!line.empty()) line += ',';
        line += name;
    });
    return line;
}

/// A report's figures, comma-separated; empty where one was not asked for. Numbers read back as the same doubles.
[[nodiscard]] inline std::string to_csv(const solve_report& r) {
    std::string line, separator;
    for_each_field(r, [&](std::string_view, const auto& value) {
        line += separator + detail::exact_text(value);
        separator = ",";
    });
    return line;
}

/// One line. Help that was needed is named; what is ordinary is not.
inline std::ostream& operator<<(std::ostream& out, const solve_report& r) {
    const auto flags = out.flags();
    const auto precision = out.precision();
    out << r.out_features << 'x' << r.in_features << "  loss " << std::scientific << std::setprecision(3) << r.loss;
    if (r.nearest_loss) out << " (" << std::fixed << *r.ratio_to_nearest() << " of nearest's)" << std::scientific;
    if (r.relative_error) out << "  relative error " << *r.relative_error;
    out << std::fixed << std::setprecision(3) << "  " << r.seconds << " s";
    if (r.clipped.value_or(0) > 0) out << "  clipped " << *r.clipped;
    if (r.dead_inputs > 0) out << "  dead inputs " << r.dead_inputs;
    if (r.refused_tokens > 0) out << "  refused tokens " << r.refused_tokens;
    if (r.diagonal_only)
        out << "  H does not factor: rounded to nearest";
    else if (r.damping_retries > 0)
        out << std::scientific << "  damping raised " << r.damping_retries << " times to " << r.damping;
    out.flags(flags);
    out.precision(precision);
    return out;
}

}  // namespace gptq
