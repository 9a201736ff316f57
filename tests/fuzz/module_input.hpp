// A quantized checkpoint of one module "m" in one input: config.json, a byte 0, which JSON never has, and a safetensors
// file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <gptq/io/safetensors.hpp>
#include <gptq/pack/packed_linear.hpp>

#include "fuzz/input_folder.hpp"
#include "fuzz/target.hpp"

namespace fuzz {

/// All weights of a layer, one by one.
inline std::vector<float> weights_of(const gptq::packed_linear& layer) {
    std::vector<float> weights;
    for (std::size_t o = 0; o < layer.out_features; ++o)
        for (std::size_t i = 0; i < layer.in_features; ++i) weights.push_back(value_at(layer, o, i));
    return weights;
}

/// Loads the module from memory, where a read past its end is seen, and from a mapped file, whose codes are not copied:
/// both are refused, or both have the same weights.
/// @param read    read(folder): the configuration
/// @param load    load(files, configuration): the layer
/// @param expect  expect(layer): that it can be used, and what it is
/// @returns       weights that `expect` returns for the layer are the same for both
template <class Read, class Load, class Expect>
void try_module(const std::uint8_t* data, std::size_t size, Read read, Load load, Expect expect) {
    using gptq::io::safetensors;
    const std::string_view input = text_of(data, size);
    const std::size_t config_size = std::min(input.find('\0'), input.size());
    const std::string_view tensors = input.substr(std::min(config_size + 1, input.size()));
    (void)accepts([&] {
        const auto config = read(folder_with("config.json", input.substr(0, config_size)));
        std::optional<std::vector<float>> copied, mapped;
        (void)accepts([&] {
            copied = expect(load(safetensors::over(std::as_bytes(std::span(tensors)), "input.safetensors"), config));
        });
        const auto file = folder_with("model.safetensors", tensors) / "model.safetensors";
        (void)accepts([&] { mapped = expect(load(safetensors::open(file), config)); });
        require(copied == mapped);
    });
}

}  // namespace fuzz
