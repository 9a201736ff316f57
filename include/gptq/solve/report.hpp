// What a solve has to tell: how good the result is, and which help it needed.
#pragma once

#include <cstddef>
#include <iomanip>
#include <optional>
#include <ostream>

namespace gptq {

/// Losses are sums over all rows, in the units of H: tr(E·H·Eᵀ) = (2/T)·‖E·Xᵀ‖².
struct solve_report {
    std::size_t out_features = 0;
    std::size_t in_features = 0;
    double loss = 0;                       ///< tr(E·H·Eᵀ), E = W - Ŵ
    double damped_loss = 0;                ///< the same with what was added to H's diagonal: what the solver minimised
    std::optional<double> relative_error;  ///< ‖E·X‖²/‖W·X‖², on request
    double seconds = 0;                    ///< the solve alone; the factor is shared

    double damping = 0;  ///< λ of the factor
    unsigned damping_retries = 0;
    bool diagonal_only = false;  ///< the factorization never held: this is rounding to nearest
    std::size_t dead_inputs = 0;
    std::size_t refused_tokens = 0;
};

/// One line. Help that was needed is named; what is ordinary is not.
inline std::ostream& operator<<(std::ostream& out, const solve_report& r) {
    const auto flags = out.flags();
    const auto precision = out.precision();
    out << r.out_features << 'x' << r.in_features << "  loss " << std::scientific << std::setprecision(3) << r.loss;
    if (r.relative_error) out << "  relative error " << *r.relative_error;
    out << std::fixed << std::setprecision(3) << "  " << r.seconds << " s";
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
