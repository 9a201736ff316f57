// Float tensors of a model folder as tensors of a GGUF file. Matrices go through memory a few rows at a time.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <gptq/gptq.hpp>

namespace llama {

/// How embeddings, head and projections that are not quantized are stored.
enum class float_type { f32, f16, q8_0 };

/// What rows of so many columns are stored in: Q8_0 has blocks of 32, and F16 is taken where they do not fit.
[[nodiscard]] gptq::ggml_type stored_type(float_type floats, std::size_t columns);

/// Writes a vector as F32, the only type that llama.cpp takes for norms and biases.
/// @param order  which element each is; empty: as they are
/// @throws gptq::numeric_error  a value is not finite: names tensor and place
void write_vector(gptq::io::gguf_writer& file, const std::string& name, const gptq::io::tensor_ref& values,
                  std::span<const std::size_t> order);

/// Writes a matrix as F32, F16 or Q8_0.
/// @param order  which row each is; empty: as they are
/// @throws gptq::numeric_error  a value is not finite, or beyond what F16 holds: names tensor and place
void write_matrix(gptq::io::gguf_writer& file, const std::string& name, gptq::ggml_type type,
                  const gptq::io::tensor_ref& weights, std::span<const std::size_t> order);

}  // namespace llama
