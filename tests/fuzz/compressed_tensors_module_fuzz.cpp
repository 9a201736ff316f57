// A compressed-tensors checkpoint: its configuration, its layer's codes, and the layer in GPTQ's layout where there is
// one for its width.
#include <gptq/io/compressed_tensors_config.hpp>
#include <gptq/io/compressed_tensors_load.hpp>
#include <gptq/pack/compressed.hpp>

#include "fuzz/module_input.hpp"

namespace {

std::vector<float> used(const gptq::compressed_linear& layer) {
    const auto unpacked = unpack(layer);
    std::vector<float> weights(layer.out_features * layer.in_features);
    dequantize_into(unpacked, gptq::view_of(weights.data(), layer.out_features, layer.in_features));
    if (layer.bits < 5 || layer.bits == 8) fuzz::require(fuzz::weights_of(to_gptq(layer)) == weights);
    return weights;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto load = [](const auto& files, const auto& config) {
        return gptq::io::load_compressed(files, "m", config);
    };
    fuzz::try_module(data, size, gptq::io::read_compressed_config, load, used);
    return 0;
}
