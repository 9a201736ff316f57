// A packed layer as blocks of llama.cpp: exactly where a block type can, rounded anew where the caller lets it.
// Which rows and columns a file wants in which order is decided by gguf_export.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <gptq/gptq.hpp>

namespace llama {

/// How a packed layer is stored.
struct block_choice {
    gptq::ggml_type type;
    bool exact;  ///< every weight is what it was
};

/// The smallest type that holds a layer exactly. Where none does, and `requantize` allows it, the smallest that adds at
/// most a tenth to the rounding noise that the layer has already, else Q8_0; F16 where rows are not whole blocks.
/// @param module  what errors call the layer
/// @throws gptq::option_error  no type is exact: why, and what to do
[[nodiscard]] block_choice choose_blocks(const std::string& module, const gptq::packed_linear& layer, bool requantize);

/// The bytes of a layer in the type that was chosen for it.
[[nodiscard]] std::vector<std::byte> to_blocks(const gptq::packed_linear& layer, block_choice choice);

/// Rows of floats as blocks, each weight rounded to nearest.
/// @param type  Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0
/// @pre  columns are a multiple of 32, and weights finite
[[nodiscard]] std::vector<std::byte> rounded_to_blocks(gptq::matrix_view<const float> weights, gptq::ggml_type type);

/// The order of columns in which blocks can follow a layer's groups; empty where they can as it is, or in no order.
[[nodiscard]] std::vector<std::size_t> order_for_blocks(std::span<const std::int32_t> g_idx);

}  // namespace llama
