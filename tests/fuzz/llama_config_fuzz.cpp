// The config.json that the example engine reads of a model.
#include <cmath>

#include "config.hpp"
#include "fuzz/input_folder.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    (void)fuzz::accepts([&] {
        const auto config = llama::read_config(fuzz::folder_with("config.json", fuzz::text_of(data, size)));
        fuzz::require(config.hidden_size > 0 && config.layers > 0 && config.vocab_size > 0);
        fuzz::require(config.heads % config.kv_heads == 0 && config.head_dim % 2 == 0);
        fuzz::require(config.inverse_frequencies.size() == config.head_dim / 2);
        fuzz::require(!config.bos || *config.bos < config.vocab_size);
        for (const auto id : config.ends) fuzz::require(id < config.vocab_size);
    });
    return 0;
}
