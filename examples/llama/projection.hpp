// One linear layer of the model, float or quantized: the seam where the library's kernels enter the engine.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include <gptq/gptq.hpp>

namespace llama {

/// A row-major matrix; the library takes and returns xtensor's.
using matrix = gptq::matrix<float>;

[[nodiscard]] inline matrix make_matrix(std::size_t rows, std::size_t cols) { return matrix::from_shape({rows, cols}); }

/// Weights as floats, [out, in].
struct float_weights {
    matrix weights;
    std::vector<float> bias;  ///< [out], or empty
};

/// y = W·x + b.
class projection {
public:
    projection() = default;
    explicit projection(float_weights w) : weights_(std::move(w)) {}
    explicit projection(const gptq::packed_linear& packed) : weights_(gptq::linear(packed)) {}

    /// Y [rows of x, out]. The same bits for every number of threads, and for every number of rows at once when the
    /// weights are quantized.
    [[nodiscard]] matrix operator()(const matrix& x, gptq::thread_pool& pool) const;

    [[nodiscard]] std::size_t out_features() const;
    [[nodiscard]] std::size_t in_features() const;
    /// Bytes of weights that a forward pass reads.
    [[nodiscard]] std::size_t bytes() const;
    [[nodiscard]] bool quantized() const noexcept { return std::holds_alternative<gptq::linear>(weights_); }
    /// The float weights, to quantize. Only where !quantized().
    [[nodiscard]] const float_weights& floats() const { return std::get<float_weights>(weights_); }

private:
    std::variant<float_weights, gptq::linear> weights_;
};

}  // namespace llama
