// All that running a quantized model needs, from packed weights to y = Ŵ·x. The standard library alone.
#pragma once

// IWYU pragma: begin_exports
#include <gptq/core/config.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/core/large_pages.hpp>
#include <gptq/core/parallel.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/core/thread_pool.hpp>
#include <gptq/core/version.hpp>
#include <gptq/core/view.hpp>

#include <gptq/grid/grid.hpp>
#include <gptq/grid/quantized.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/grid/uniform_grid.hpp>

#include <gptq/pack/bits.hpp>
#include <gptq/pack/groups.hpp>
#include <gptq/pack/packed_linear.hpp>

#include <gptq/kernels/activations.hpp>
#include <gptq/kernels/direct_linear.hpp>
#include <gptq/kernels/gemv.hpp>
#include <gptq/kernels/image.hpp>
#include <gptq/kernels/isa.hpp>
#include <gptq/kernels/layout.hpp>
#include <gptq/kernels/linear.hpp>
#include <gptq/kernels/multiply.hpp>
#include <gptq/kernels/place.hpp>
#include <gptq/kernels/step.hpp>
#include <gptq/kernels/tile.hpp>
// IWYU pragma: end_exports
