// A solve's result as tensors.
#pragma once

#include <algorithm>
#include <cstdint>

#include <gptq/calib/tensor.hpp>
#include <gptq/core/config.hpp>
#include <gptq/core/view.hpp>
#include <gptq/grid/quantized.hpp>

namespace gptq {
inline namespace GPTQ_ISA {

/// Ŵ [out_features, in_features].
template <grid G>
[[nodiscard]] matrix<float> dequantize(const quantized<G>& q) {
    auto w = matrix<float>::from_shape({q.out_features, q.in_features});
    dequantize_into(q, view_of(w));
    return w;
}

/// The codes [out_features, in_features].
template <grid G>
[[nodiscard]] matrix<std::uint8_t> codes_tensor(const quantized<G>& q) {
    auto codes = matrix<std::uint8_t>::from_shape({q.out_features, q.in_features});
    std::ranges::copy(q.codes, codes.begin());
    return codes;
}

}  // namespace GPTQ_ISA
}  // namespace gptq
