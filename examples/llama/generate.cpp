#include "generate.hpp"

#include <algorithm>
#include <chrono>

#include <gptq/core/error.hpp>

namespace llama {

generation generate(const model& m, const token_ids& prompt, std::span<const std::uint32_t> ends,
                    const generate_options& options, gptq::thread_pool& pool,
                    const std::function<void(std::uint32_t)>& emit) {
    if (!(options.temperature >= 0))
        gptq::detail::fail<gptq::option_error>("temperature is ", options.temperature, ", expected 0 or more");
    if (prompt.empty()) gptq::detail::fail<gptq::option_error>("the prompt is empty, and the model has no BOS token");
    if (prompt.size() >= m.shape.max_positions)
        gptq::detail::fail<gptq::option_error>("the prompt has ", prompt.size(), " tokens, but the model only ",
                                               m.shape.max_positions, " positions");
    expect_ids(m.shape, prompt);
    std::mt19937_64 random(options.seed);
    sequence_state state;
    const auto step = [&](std::span<const std::uint32_t> ids) {
        const std::vector<batch_part> part = {{&state, ids.size()}};
        const matrix x = forward(m, ids, part, pool);
        matrix last = make_matrix(1, m.shape.hidden_size);
        std::copy_n(&x(ids.size() - 1, 0), m.shape.hidden_size, last.data());
        const matrix row = logits(m, last, pool);
        return sample({row.data(), row.size()}, options.temperature, random);
    };
    generation result{.prompt_tokens = prompt.size()};
    std::uint32_t token = step(prompt);
    const auto start = std::chrono::steady_clock::now();
    while (result.tokens < options.tokens && std::ranges::find(ends, token) == ends.end()) {
        emit(token);
        ++result.tokens;
        if (prompt.size() + result.tokens >= m.shape.max_positions) break;
        token = step({&token, 1});
        ++result.steps;
    }
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
}

}  // namespace llama
