// A layer made of codes, and one product with it.
#include <gptq/runtime.hpp>

#include <cstdio>
#include <vector>

int main() {
    gptq::quantized<gptq::uniform_grid> q{{.bits = 4, .group_size = 32}, 16, 32, {}, {}, {}};
    q.codes.assign(16 * 32, 9);
    q.parameters.assign(16, {0.5F, 8});  // ŵ = 0.5·(9 - 8)
    q.g_idx.assign(32, 0);
    const gptq::linear layer(gptq::pack(q));

    const std::vector<float> x(32, 1.0F);
    std::vector<float> y(16);
    gptq::gemv(layer, x, y);
    std::printf("gptq %s: y = %g\n", gptq::version_string.data(), static_cast<double>(y[15]));
    return y[15] == 16 ? 0 : 1;
}
