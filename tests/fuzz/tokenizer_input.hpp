// What a tokenizer that was read must be able to do, whatever its file says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/target.hpp"
#include "tokenizer.hpp"

namespace fuzz {

inline void expect_usable(const llama::tokenizer& tokenizer) {
    using namespace std::string_view_literals;
    require(!tokenizer.bos() || *tokenizer.bos() < tokenizer.vocab_size());
    require(!tokenizer.eos() || *tokenizer.eos() < tokenizer.vocab_size());
    for (const std::string_view text :
         {""sv, "a b"sv, " It's 12 o'clock\n"sv, "h\xC3\xA9 \xE2\x82\xAC"sv, "\xFF\0\x80"sv}) {
        std::vector<std::uint32_t> ids;
        if (!accepts([&] { ids = tokenizer.encode(text); })) continue;  // a character without a piece
        for (const std::uint32_t id : ids) require(id < tokenizer.vocab_size());
        (void)tokenizer.decode(ids);
    }
    (void)tokenizer.decode(std::vector<std::uint32_t>{0, 1, 2, 255, 256, UINT32_MAX});
}

}  // namespace fuzz
