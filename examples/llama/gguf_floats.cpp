#include "gguf_floats.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gptq/core/error.hpp>

#include "finite_floats.hpp"
#include "gguf_blocks.hpp"

namespace llama {
namespace {

using gptq::ggml_type;
using gptq::io::tensor_ref;

/// Row `index` of a matrix, where it lies in the file.
tensor_ref row_of(const tensor_ref& weights, std::size_t index) {
    tensor_ref row = weights;
    const std::size_t bytes = weights.bytes.size() / weights.shape[0];
    row.shape = {weights.shape[1]};
    row.bytes = weights.bytes.subspan(index * bytes, bytes);
    return row;
}

void expect_f16(const tensor_ref& tensor, std::span<const float> values) {
    constexpr float beyond = 65520;  // from here on f16 rounds to infinity
    if (const auto bad = std::ranges::find_if(values, [](float v) { return std::abs(v) >= beyond; });
        bad != values.end())
        gptq::detail::fail<gptq::numeric_error>(gptq::io::describe(tensor), ": ", *bad,
                                                " is beyond F16; store floats as F32");
}

std::vector<std::byte> to_type(ggml_type type, gptq::matrix_view<const float> rows, const tensor_ref& tensor) {
    const std::span<const float> values(rows.data, rows.rows * rows.cols);
    if (type == ggml_type::q8_0) return rounded_to_blocks(rows, type);
    if (type == ggml_type::f16) expect_f16(tensor, values);
    return gptq::io::to_bytes(values, type == ggml_type::f16 ? gptq::scale_type::f16 : gptq::scale_type::f32);
}

}  // namespace

ggml_type stored_type(float_type floats, std::size_t columns) {
    if (floats == float_type::f32) return ggml_type::f32;
    return floats == float_type::q8_0 && columns % gptq::q8_0_block::elements == 0 ? ggml_type::q8_0 : ggml_type::f16;
}

void write_vector(gptq::io::gguf_writer& file, const std::string& name, const tensor_ref& values,
                  std::span<const std::size_t> order) {
    std::vector<float> plain(gptq::io::element_count(values)), ordered;
    read_finite(values, plain);
    for (const std::size_t i : order) ordered.push_back(plain[i]);
    file.write(name, std::as_bytes(std::span(order.empty() ? plain : ordered)));
}

void write_matrix(gptq::io::gguf_writer& file, const std::string& name, ggml_type type, const tensor_ref& weights,
                  std::span<const std::size_t> order) {
    const std::size_t rows = weights.shape[0], cols = weights.shape[1];
    const std::size_t together = std::max<std::size_t>((1U << 20U) / cols, 1);
    std::vector<float> some(together * cols);
    for (std::size_t first = 0; first < rows; first += together) {
        const auto part = gptq::view_of(some.data(), std::min(together, rows - first), cols);
        for (std::size_t r = 0; r < part.rows; ++r) {
            const std::size_t row = order.empty() ? first + r : order[first + r];
            read_finite(row_of(weights, row), {part.row_data(r), cols}, row * cols);
        }
        file.append(name, to_type(type, part, weights));
    }
}

}  // namespace llama
