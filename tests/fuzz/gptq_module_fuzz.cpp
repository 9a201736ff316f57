// A GPTQ checkpoint: its configuration, its layer, and the layer multiplied with an input.
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/kernels/gemv.hpp>
#include <gptq/kernels/linear.hpp>

#include "fuzz/module_input.hpp"

namespace {

std::vector<float> used(const gptq::packed_linear& layer) {
    const std::vector<float> x(layer.in_features, 1.0F);
    std::vector<float> y(layer.out_features);
    gptq::gemv(gptq::linear(layer), x, y);
    return fuzz::weights_of(layer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto load = [](const auto& files, const auto& config) { return gptq::io::load_gptq(files, "m", config); };
    fuzz::try_module(data, size, gptq::io::read_gptq_config, load, used);
    return 0;
}
