#include <cmath>
#include <iomanip>
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "evaluate.hpp"
#include "settings.hpp"

namespace llama {
namespace {

struct eval_settings {
    std::string source, reference;
    text_settings text;
    thread_settings threads;
    std::size_t max_tokens = 0;
    bool json = false;
};

/// Windows to evaluate on; without a text the float model makes some up: the reference, or the model itself.
windows evaluation_windows(const eval_settings& s, const model_source& source, const model* reference, const model& m,
                           gptq::thread_pool& pool) {
    const std::size_t context = s.text.context_for(source.shape);
    if (!s.text.given()) {
        if (reference == nullptr && source.quantization)
            gptq::detail::fail<gptq::option_error>(
                "nothing to evaluate on: give --text or --ids, or a --reference model that makes up text");
        const std::size_t count = std::max<std::size_t>(1, (s.max_tokens > 0 ? s.max_tokens : 16384) / context);
        return sampled(reference != nullptr ? *reference : m, context, count, evaluation_seed, pool);
    }
    token_ids ids = s.text.read(source);
    if (s.max_tokens > 0 && ids.size() > s.max_tokens) ids.resize(s.max_tokens);
    return cut(ids, context, std::numeric_limits<std::size_t>::max());
}

nlohmann::json to_json(const eval_settings& s, std::size_t context, const evaluation& e, const model& m) {
    nlohmann::json j = {{"model", s.source},          {"context", context},        {"predictions", e.predictions},
                        {"perplexity", e.perplexity}, {"weight_bytes", m.bytes()}, {"seconds", e.seconds}};
    if (e.kl_divergence) j["kl_divergence"] = *e.kl_divergence;
    if (e.top1_agreement) j["top1_agreement"] = *e.top1_agreement;
    return j;
}

void run(const eval_settings& s) {
    gptq::thread_pool pool(s.threads.count);
    const auto source = model_source::open(s.source);
    const model m = model::load(source);
    std::optional<model> reference;
    if (!s.reference.empty()) {
        reference = model::load(model_source::open(s.reference));
        gptq::detail::expect_equal("--reference", "vocab_size", m.shape.vocab_size, reference->shape.vocab_size);
    }
    const model* other = reference ? &*reference : nullptr;
    const windows text = evaluation_windows(s, source, other, m, pool);
    for (const token_ids& window : text) expect_ids(m.shape, window);
    progress_bar bar("evaluating");
    const evaluation e =
        evaluate(m, other, text, pool, [&](std::size_t done, std::size_t whole) { bar.show(done, whole); });
    bar.clear();
    if (!std::isfinite(e.perplexity))
        gptq::detail::fail<gptq::numeric_error>(s.source, ": the model's outputs are not finite");
    if (s.json) {
        std::cout << to_json(s, text.front().size(), e, m).dump(2) << '\n';
        return;
    }
    std::cout << std::setprecision(6) << "perplexity      " << e.perplexity << "  (" << e.predictions
              << " predictions)\n";
    if (e.kl_divergence) std::cout << "KL divergence   " << *e.kl_divergence << " nats from the reference\n";
    if (e.top1_agreement) std::cout << "top-1 agreement " << 100 * *e.top1_agreement << " %\n";
    std::cout << "weights         " << m.bytes() << " bytes resident\n";
}

}  // namespace

void add_eval(CLI::App& app) {
    auto s = std::make_shared<eval_settings>();
    CLI::App* command = app.add_subcommand("eval", "Perplexity of a model, and its distance from a reference");
    command->add_option("MODEL", s->source, "Hugging Face folder of a float or GPTQ LLaMA model")->required();
    command->add_option("--reference", s->reference, "Float model to compare with: KL divergence, top-1 agreement");
    s->text.add_to(*command, "--text", "--ids", "Evaluate on (default: text that the float model makes up)");
    command->add_option("--max-tokens", s->max_tokens, "Use only so many tokens (0: all)")
        ->check(whole_number(0, most_tokens))
        ->capture_default_str();
    command->add_flag("--json", s->json, "Print JSON");
    s->threads.add_to(*command);
    command->callback([s] { run(*s); });
}

}  // namespace llama
