// A safetensors file: its header, and the floats of its tensors.
#include <gptq/io/floats.hpp>
#include <gptq/io/safetensors.hpp>

#include <algorithm>
#include <optional>
#include <vector>

#include "fuzz/target.hpp"

namespace {

using namespace gptq::io;

/// Tensors fill the file from its header to its end: an order exists in which each begins where another ends.
void expect_no_gaps(const safetensors& file, std::span<const std::byte> bytes) {
    std::vector<std::span<const std::byte>> places;
    for (const tensor_ref& tensor : file.tensors()) places.push_back(tensor.bytes);
    std::ranges::sort(places, {}, [](const auto& place) { return std::pair(place.data(), place.size()); });
    const std::byte* end = nullptr;
    for (const auto& place : places) {
        fuzz::require(end == nullptr || place.data() == end);
        end = place.data() + place.size();
    }
    fuzz::require(end == nullptr || end == bytes.data() + bytes.size());
}

void expect_consistent(const safetensors& file) {
    for (const tensor_ref& tensor : file.tensors()) {
        fuzz::require(byte_count(tensor.type, tensor.shape) == tensor.bytes.size());
        fuzz::require(&file.at(tensor.name) == &tensor);
        if (fuzz::accepts([&] { fuzz::require(to_floats(tensor).size() == element_count(tensor)); })) continue;
        fuzz::require(tensor.type != dtype::F16 && tensor.type != dtype::F32);
    }
    const auto names_differ = [](const tensor_ref& a, const tensor_ref& b) { return a.name < b.name; };
    fuzz::require(std::ranges::adjacent_find(file.tensors(), std::not_fn(names_differ)) == file.tensors().end());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = fuzz::bytes_of(data, size);
    (void)fuzz::accepts([&] {
        const auto file = safetensors::over(bytes, "input.safetensors");
        expect_no_gaps(file, bytes);
        expect_consistent(file);
    });
    return 0;
}
