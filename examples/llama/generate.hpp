// Text from a model, token by token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "model.hpp"
#include "tokenizer.hpp"
#include "windows.hpp"

namespace llama {

struct generation {
    std::size_t prompt_tokens = 0;
    std::size_t tokens = 0;
    std::size_t steps = 0;  ///< passes over the weights for one token each; the prompt's pass made the first token
    double seconds = 0;     ///< for the steps

    [[nodiscard]] double tokens_per_second() const { return steps > 0 ? static_cast<double>(steps) / seconds : 0; }
};

struct generate_options {
    std::size_t tokens = 200;
    double temperature = 0.8;  ///< 0 takes the most likely token always
    std::uint64_t seed = 0;
};

/// Continues `prompt` until `tokens` are made, one of `ends` comes, or the model's positions are used up.
/// @param emit  called with each new token
/// @throws gptq::option_error  a temperature that is negative or not a number; the prompt is empty, holds an unknown
/// id, or is longer than the model's positions
generation generate(const model& m, const token_ids& prompt, std::span<const std::uint32_t> ends,
                    const generate_options& options, gptq::thread_pool& pool,
                    const std::function<void(std::uint32_t)>& emit);

}  // namespace llama
