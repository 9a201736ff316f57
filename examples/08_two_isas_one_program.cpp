// One program for all processors of a family. The library's kernels are chosen when they are compiled; here one source,
// 08_layer.cpp, is compiled several times, and the program chooses among the builds when it runs.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <vector>

#include "08_layer.hpp"

#if defined(__linux__) && defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

// The builds: CMakeLists.txt names them by defining GPTQ_ISA.
namespace baseline {
layer_maker make_layer;
}
namespace avx2 {
layer_maker make_layer;
}
namespace avx512 {
layer_maker make_layer;
}
namespace dotprod {
layer_maker make_layer;
}

/// What this processor can run, best last.
std::vector<layer_maker*> builds_for_this_processor() {
    std::vector<layer_maker*> builds = {baseline::make_layer};
#if defined(__x86_64__)
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");  // f16c is older than both
    if (has_avx2) builds.push_back(avx2::make_layer);
    if (has_avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
        builds.push_back(avx512::make_layer);
#elif defined(__linux__) && defined(__aarch64__)
    if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) builds.push_back(dotprod::make_layer);
#endif
    return builds;
}

int main() {
    constexpr std::size_t in_features = 512, out_features = 300;
    gptq::quantized<gptq::uniform_grid> q{{.bits = 4, .group_size = 64}, out_features, in_features, {}, {}, {}};
    for (std::size_t i = 0; i < out_features * in_features; ++i)
        q.codes.push_back(static_cast<std::uint8_t>(i * i % 13));
    for (std::size_t i = 0; i < in_features; ++i) q.g_idx.push_back(static_cast<std::int32_t>(i / 64));
    q.parameters.assign(out_features * q.groups(), {.scale = 1 / 64.0F, .zero = 8});
    const gptq::packed_linear packed = gptq::pack(q);  // by this file's build, which is the baseline's
    std::vector<float> x(in_features), expected;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));

    bool same = true;
    for (layer_maker* make_layer : builds_for_this_processor()) {  // a real program makes layers by the last of them
        const auto layer = make_layer(packed);
        std::vector<float> y(out_features);
        layer->multiply(x, y);
        if (expected.empty()) expected = y;
        std::cout << layer->instruction_set() << ": " << (y == expected ? "the same bits\n" : "other bits\n");
        same = same && y == expected;
    }
    return same ? 0 : 1;
}
