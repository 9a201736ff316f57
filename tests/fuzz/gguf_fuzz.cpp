// A GGUF file: its header, its metadata, and the floats that its tensors stand for.
#include <gptq/io/gguf.hpp>

#include "fuzz/target.hpp"

namespace {

using namespace gptq::io;

void expect_consistent(const gguf& file, std::span<const std::byte> bytes) {
    const std::byte *const begin = bytes.data(), *const end = begin + bytes.size();
    std::size_t total = 0;
    std::string_view last;
    for (const gguf_tensor& tensor : file.tensors()) {
        std::size_t elements = 1;
        for (const std::size_t axis : tensor.shape) elements *= axis;
        fuzz::require(elements == element_count(tensor));
        fuzz::require(tensor.bytes.data() >= begin && tensor.bytes.data() + tensor.bytes.size() <= end);
        total += tensor.bytes.size();
        fuzz::require(&file.at(tensor.name) == &tensor);
        fuzz::require(&tensor == file.tensors().data() || last < tensor.name);
        last = tensor.name;
        if (fuzz::accepts([&] { fuzz::require(to_floats(tensor).size() == elements); })) continue;
        fuzz::require(tensor.type != gptq::ggml_type::f32 && tensor.type != gptq::ggml_type::q4_0);
    }
    fuzz::require(total <= bytes.size());
    for (const auto& [key, value] : file.metadata()) fuzz::require(!key.empty() && !type_name(value).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = fuzz::bytes_of(data, size);
    (void)fuzz::accepts([&] { expect_consistent(gguf::over(bytes, "input.gguf"), bytes); });
    return 0;
}
