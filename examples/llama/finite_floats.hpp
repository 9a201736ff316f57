// Floats of a model file, none of which may be a NaN or an infinity.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include <gptq/core/error.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/tensor.hpp>

namespace llama {

/// Reads a tensor, or a part of one that begins with value `first`. Throws numeric_error where a value is not finite.
inline void read_finite(const gptq::io::tensor_ref& tensor, std::span<float> values, std::size_t first = 0) {
    gptq::io::read_floats(tensor, values);
    const auto bad = std::ranges::find_if_not(values, [](float v) { return std::isfinite(v); });
    if (bad != values.end())
        gptq::detail::fail<gptq::numeric_error>(gptq::io::describe(tensor), ": value ",
                                                first + static_cast<std::size_t>(bad - values.begin()),
                                                " is not finite: ", *bad);
}

}  // namespace llama
