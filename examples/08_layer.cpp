// Compiled once for each processor, with other flags and another GPTQ_ISA: CMakeLists.txt beside this file does it.
#include "08_layer.hpp"

#include <gptq/runtime.hpp>

namespace {

struct tiled_layer : layer {
    explicit tiled_layer(const gptq::packed_linear& p) : weights(p) {}
    [[nodiscard]] std::string_view instruction_set() const override { return gptq::isa::native::name; }
    void multiply(std::span<const float> x, std::span<float> y) const override { gptq::gemv(weights, x, y); }

    gptq::linear weights;
};

}  // namespace

namespace GPTQ_ISA {
std::unique_ptr<layer> make_layer(const gptq::packed_linear& p) { return std::make_unique<tiled_layer>(p); }
}  // namespace GPTQ_ISA
