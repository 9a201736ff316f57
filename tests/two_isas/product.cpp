// Compiled twice, for two processors, and linked into one program.
#include "two_isas/product.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

#include <gptq/runtime.hpp>

using two_isas::inputs, two_isas::outputs, two_isas::tokens;

namespace {

gptq::linear some_layer() {
    gptq::quantized<gptq::uniform_grid> q{{.bits = 4, .group_size = 32}, outputs, inputs, {}, {}, {}};
    q.codes.resize(outputs * inputs);
    for (std::size_t i = 0; i < q.codes.size(); ++i) q.codes[i] = static_cast<std::uint8_t>(i * i % 251 % 16);
    for (std::size_t i = 0; i < outputs * inputs / 32; ++i)
        q.parameters.push_back({0.25F + static_cast<float>(i % 7) / 16, static_cast<float>(i % 16)});
    for (std::size_t i = 0; i < inputs; ++i) q.g_idx.push_back(static_cast<std::int32_t>(i / 32));
    return gptq::linear(gptq::pack(q));
}

}  // namespace

// The build's own name, where the other file looks for it: that the program links shows that there are two.
namespace GPTQ_ISA {

two_isas::products multiply() {
    const gptq::linear layer = some_layer();
    std::vector<float> x(tokens * inputs);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 1.0F / static_cast<float>(1 + i * 37 % 101) - 0.1F;

    two_isas::products result{gptq::isa::native::name.data(), {}};
    gptq::gemm<gptq::digits<3>>(layer, gptq::view_of(x.data(), tokens, inputs),
                                gptq::view_of(result.y, tokens, outputs));
    return result;
}

}  // namespace GPTQ_ISA
