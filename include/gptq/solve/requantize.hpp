// A quantized layer on another grid. Lossy, and never done on the way: conversions between layouts are exact or
// refused.
#pragma once

#include <gptq/core/config.hpp>
#include <gptq/grid/grid.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/solve/solver.hpp>
#include <gptq/solve/tensors.hpp>  // IWYU pragma: keep

namespace gptq {
inline namespace GPTQ_ISA {

/// Rounds what a layer stands for to another grid, weight by weight. A second rounding error comes on top of the first,
/// and nothing makes up for it: where the float weights are at hand, solve with the grid that is wanted.
/// @throws option_error   the grid's own
/// @throws numeric_error  a weight is not finite
template <grid From, grid To>
[[nodiscard]] quantized<To> requantize(const quantized<From>& q, const To& grid) {
    return round_to_nearest(dequantize(q), grid);
}

}  // namespace GPTQ_ISA
}  // namespace gptq
