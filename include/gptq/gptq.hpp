// gptq: GPTQ weight quantization of language models, and kernels that run the quantized weights on a CPU.
// Everything, in the order data walks: activations → Hessian → factor → solver → codes → packed → GEMV or file.
//
//     gptq/runtime.hpp   packed weights and GEMV alone; the standard library is all it needs
//     gptq/io.hpp        files; adds nlohmann-json
//
// docs/overview.md is the map.
#pragma once

// IWYU pragma: begin_exports
#include <gptq/runtime.hpp>

#include <gptq/grid/block_grid.hpp>
#include <gptq/grid/codebook.hpp>

#include <gptq/calib/factor.hpp>
#include <gptq/calib/hessian.hpp>
#include <gptq/calib/input_deviation.hpp>
#include <gptq/calib/order.hpp>

#include <gptq/solve/asymmetric.hpp>
#include <gptq/solve/options.hpp>
#include <gptq/solve/report.hpp>
#include <gptq/solve/requantize.hpp>
#include <gptq/solve/solver.hpp>
#include <gptq/solve/tensors.hpp>

#include <gptq/io.hpp>
// IWYU pragma: end_exports
