// The type a scale is stored in. Scales are rounded to it before any weight is rounded with them, so that
// what a file holds is what the solver compensated for.
#pragma once

#include <concepts>
#include <cstddef>

#include <gptq/core/half.hpp>

namespace gptq {

enum class scale_type { f16, bf16, f32 };

inline namespace GPTQ_ISA {

/// Calls f with a value of the C++ type that `type` names, and returns what it returns.
template <class F>
constexpr decltype(auto) visit_scale_type(scale_type type, F&& f) {
    switch (type) {
        case scale_type::f16: return f(f16{});
        case scale_type::bf16: return f(bf16{});
        case scale_type::f32: break;
    }
    return f(float{});
}

/// The nearest value that `type` can hold.
template <std::floating_point T>
[[nodiscard]] constexpr float rounded_to(scale_type type, T x) noexcept {
    return visit_scale_type(type, [x](auto stored) { return to_float(round_to<decltype(stored)>(x)); });
}

}  // namespace GPTQ_ISA
}  // namespace gptq
