#include <iomanip>
#include <iostream>
#include <memory>

#include "commands.hpp"
#include "generate.hpp"
#include "settings.hpp"

namespace llama {
namespace {

struct generate_settings {
    std::string source, prompt;
    generate_options options;
    thread_settings threads;
};

void run(const generate_settings& s) {
    gptq::thread_pool pool(s.threads.count);
    const auto source = model_source::open(s.source);
    const auto words = tokenizer::open(source.folder);
    const model m = model::load(source);
    token_ids prompt = words.encode(s.prompt);
    text_stream text(words);
    for (const std::uint32_t id : prompt) std::cout << text.next(id);
    if (const auto bos = m.shape.bos ? m.shape.bos : words.bos()) prompt.insert(prompt.begin(), *bos);
    std::vector<std::uint32_t> ends = m.shape.ends;
    if (const auto eos = words.eos()) ends.push_back(*eos);
    const generation g =
        generate(m, prompt, ends, s.options, pool, [&](std::uint32_t id) { std::cout << text.next(id) << std::flush; });
    std::cout << std::endl;
    std::cerr << std::fixed << std::setprecision(1) << g.prompt_tokens << " prompt tokens, " << g.tokens
              << " new tokens at " << g.tokens_per_second() << " tokens/s; " << m.bytes()
              << " bytes of weights resident\n";
}

}  // namespace

void add_generate(CLI::App& app) {
    auto s = std::make_shared<generate_settings>();
    CLI::App* command = app.add_subcommand("generate", "Continue a prompt; quantized weights run packed as they are");
    command->add_option("MODEL", s->source, "Hugging Face folder of a float or GPTQ LLaMA model")->required();
    command->add_option("--prompt", s->prompt, "Text to continue (default: begin a new one)");
    command->add_option("--tokens", s->options.tokens, "Tokens to make")
        ->check(whole_number(0, most_tokens))
        ->capture_default_str();
    command->add_option("--temperature", s->options.temperature, "0 takes the most likely token always")
        ->capture_default_str();
    command->add_option("--seed", s->options.seed, "Another seed, another text")
        ->check(whole_number(0, most_tokens))
        ->capture_default_str();
    s->threads.add_to(*command);
    command->callback([s] { run(*s); });
}

}  // namespace llama
