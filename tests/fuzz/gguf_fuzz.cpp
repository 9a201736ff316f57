// For libFuzzer: any bytes are a GGUF file that is read consistently, or one that is refused with a format_error.
//     clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/gguf_fuzz.cpp -o gguf_fuzz
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <gptq/io/gguf.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace gptq::io;
    try {
        const gguf file = gguf::over(std::as_bytes(std::span(data, size)));
        for (const gguf_tensor& tensor : file.tensors()) {
            std::size_t elements = 1;
            for (const std::size_t axis : tensor.shape) elements *= axis;
            if (elements != element_count(tensor)) std::abort();
            try {
                (void)to_floats(tensor);
            } catch (const gptq::format_error&) {  // a type that has no floats
            }
        }
    } catch (const gptq::format_error&) {
    }
    return 0;
}
