// tokenizer.json, as the example engine reads it.
#include "fuzz/input_folder.hpp"
#include "fuzz/tokenizer_input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    (void)fuzz::accepts([&] {
        fuzz::expect_usable(llama::tokenizer::open(fuzz::folder_with("tokenizer.json", fuzz::text_of(data, size))));
    });
    return 0;
}
