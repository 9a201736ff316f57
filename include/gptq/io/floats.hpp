// Floating point tensors of files as float, and back to the type of a file. The one place of io where values change.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/core/error.hpp>
#include <gptq/core/half.hpp>
#include <gptq/grid/scale_type.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/tensor.hpp>

namespace gptq::io {

namespace impl {

/// Elements of a mapping lie at any address: they are copied out one by one, which compilers turn into plain loads.
template <storable_float Stored>
void read_as(std::span<const std::byte> bytes, std::span<float> out) noexcept {
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] =
            static_cast<float>(to_float(gptq::impl::load_little_endian<Stored>(bytes.data() + i * sizeof(Stored))));
}

}  // namespace impl

/// Writes the tensor's elements to `out`; F64 is rounded to float, the others are exact.
/// @throws shape_error   `out` has another size
/// @throws format_error  the tensor is none of F16, BF16, F32, F64
inline void read_floats(const tensor_ref& tensor, std::span<float> out) {
    gptq::detail::expect_equal(describe(tensor), "number of elements", out.size(), element_count(tensor));
    switch (tensor.type) {
        case dtype::F16: return impl::read_as<f16>(tensor.bytes, out);
        case dtype::BF16: return impl::read_as<bf16>(tensor.bytes, out);
        case dtype::F32: return impl::read_as<float>(tensor.bytes, out);
        case dtype::F64: return impl::read_as<double>(tensor.bytes, out);
        default:
            gptq::detail::fail<format_error>(describe(tensor), ": is ", name(tensor.type),
                                             ", expected F16, BF16, F32 or F64");
    }
}

/// The same, into a vector.
[[nodiscard]] inline std::vector<float> to_floats(const tensor_ref& tensor) {
    std::vector<float> out(element_count(tensor));
    read_floats(tensor, out);
    return out;
}

/// What files call the type of a scale.
[[nodiscard]] constexpr dtype dtype_of(scale_type type) noexcept {
    switch (type) {
        case scale_type::f16: return dtype::F16;
        case scale_type::bf16: return dtype::BF16;
        case scale_type::f32: break;
    }
    return dtype::F32;
}

/// The values as a file stores them, each rounded once to `type`.
[[nodiscard]] inline std::vector<std::byte> to_bytes(std::span<const float> values, scale_type type) {
    return visit_scale_type(type, [values](auto kind) {
        using stored = decltype(kind);
        std::vector<std::byte> bytes(values.size() * sizeof(stored));
        for (std::size_t i = 0; i < values.size(); ++i)
            gptq::impl::store_little_endian(bytes.data() + i * sizeof(stored), round_to<stored>(values[i]));
        return bytes;
    });
}

}  // namespace gptq::io
