// The whole job on one model: float against rounding to nearest and GPTQ at several bit widths, in one table.
#include <iomanip>
#include <iostream>
#include <memory>

#include "commands.hpp"
#include "evaluate.hpp"
#include "generate.hpp"
#include "settings.hpp"

namespace llama {
namespace {

struct compare_settings {
    std::string source, out;
    std::vector<int> bits = {4, 3, 2};
    grid_settings grid;
    text_settings text;
    thread_settings threads;
    std::size_t samples = 128, eval_samples = 64;
};

class comparison {
public:
    explicit comparison(const compare_settings& s)
        : s_(s), pool_(s.threads.count), source_(model_source::open(s.source)), reference_(model::load(source_)) {
        expect_float_model(source_);
        const std::size_t context = s.text.context_for(source_.shape);
        calibration_ = sampled(reference_, context, s.samples, calibration_seed, pool_);
        evaluation_ = sampled(reference_, context, s.eval_samples, evaluation_seed, pool_);
    }

    void run() {
        std::cout
            << "calibrated on " << calibration_.size() << " and evaluated on " << evaluation_.size() << " windows of "
            << calibration_.front().size() << " tokens that the float model made up\n\n"
            << "weights              perplexity    KL (nats)   top-1 %     file bytes  resident bytes    tokens/s\n";
        row("float", reference_, source_.folder);
        for (const int bits : s_.bits)
            for (const method how : {method::nearest, method::gptq}) {
                const auto folder = quantized(bits, how);
                const std::string name = std::to_string(bits) + (how == method::gptq ? " bit GPTQ" : " bit nearest");
                row(name, model::load(model_source::open(folder)), folder);
            }
        std::cout << '\n';
    }

private:
    std::filesystem::path quantized(int bits, method how) {
        auto folder =
            std::filesystem::path(s_.out) / (std::to_string(bits) + (how == method::gptq ? "bit-gptq" : "bit-nearest"));
        // Only what an earlier run has written makes way.
        if (std::filesystem::exists(folder / "quantize_config.json")) std::filesystem::remove_all(folder);
        gptq::io::atomic_folder out(folder);
        quantize_options options{.grid = s_.grid.grid(), .how = how};
        options.grid.bits = static_cast<unsigned>(bits);
        progress_bar bar("quantizing to " + std::to_string(bits) + " bits");
        quantize_to_folder(source_, out, options, calibration_, pool_,
                           [&](const quantized_projection& p) { bar.show(p.done, p.whole); });
        return folder;
    }

    void row(const std::string& name, const model& m, const std::filesystem::path& folder) {
        progress_bar bar("evaluating " + name);
        const auto e = evaluate(m, &reference_, evaluation_, pool_,
                                [&](std::size_t done, std::size_t whole) { bar.show(done, whole); });
        const token_ids start = {m.shape.bos.value_or(0)};
        const auto speed = generate(m, start, {}, {.tokens = 200, .temperature = 1}, pool_, [](std::uint32_t) {});
        std::size_t bytes = 0;
        for (const auto& tensor : gptq::io::model_files::open(folder).tensors()) bytes += tensor.bytes.size();
        bar.clear();
        std::cout << std::left << std::setw(18) << name << std::right << std::fixed << std::setprecision(4)
                  << std::setw(13) << e.perplexity << std::setw(13) << *e.kl_divergence << std::setprecision(1)
                  << std::setw(10) << 100 * *e.top1_agreement << std::setw(15) << bytes << std::setw(16) << m.bytes()
                  << std::setw(12) << speed.tokens_per_second() << std::endl;
    }

    const compare_settings& s_;
    gptq::thread_pool pool_;
    model_source source_;
    model reference_;
    windows calibration_, evaluation_;
};

}  // namespace

void add_compare(CLI::App& app) {
    auto s = std::make_shared<compare_settings>();
    CLI::App* command =
        app.add_subcommand("compare", "One table: float, rounding to nearest and GPTQ at several bit widths");
    command->add_option("MODEL", s->source, "Hugging Face folder of a float LLaMA model")->required();
    command->add_option("OUT", s->out, "Folder for the quantized models; older ones in it are replaced")
        ->required()
        ->check(not_empty);
    command->add_option("--bits", s->bits, "Bit widths")->check(CLI::IsMember({2, 3, 4, 8}))->capture_default_str();
    s->text.add_context_to(*command);
    s->threads.add_to(*command);
    command->callback([s] { comparison(*s).run(); });
}

}  // namespace llama
