// An AWQ checkpoint: its configuration, and its layer, in GPTQ's layout and back in AWQ's.
#include <gptq/io/awq_config.hpp>
#include <gptq/io/awq_load.hpp>
#include <gptq/pack/awq.hpp>

#include "fuzz/module_input.hpp"

namespace {

std::vector<float> used(const gptq::packed_linear& layer) {
    const auto weights = fuzz::weights_of(layer);
    fuzz::require(fuzz::weights_of(to_gptq(gptq::to_awq(layer))) == weights);
    return weights;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto load = [](const auto& files, const auto& config) { return gptq::io::load_awq(files, "m", config); };
    fuzz::try_module(data, size, gptq::io::read_awq_config, load, used);
    return 0;
}
