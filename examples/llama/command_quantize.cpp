#include <iostream>
#include <memory>

#include "commands.hpp"
#include "loader_warnings.hpp"
#include "settings.hpp"

namespace llama {
namespace {

struct quantize_settings {
    std::string source, out;
    grid_settings grid;
    text_settings calibration;
    thread_settings threads;
    std::string order = "group-aware";
    bool static_groups = false, nearest = false, true_sequential = true;
    double damp = 0.01;
    double asymmetric = gptq::asymmetric_options{}.strength;
    std::string correction = "full";
    std::size_t samples = 128;
    std::uint64_t seed = 0;
};

gptq::act_order act_order_named(const std::string& name) {
    if (name == "none") return gptq::act_order::none;
    return name == "act" ? gptq::act_order::descending : gptq::act_order::group_aware;
}

windows calibration_windows(const quantize_settings& s, const model_source& source, gptq::thread_pool& pool) {
    const std::size_t context = s.calibration.context_for(source.shape);
    if (!s.calibration.given())
        return sampled(model::load(source), context, s.samples, calibration_seed + s.seed, pool);
    const token_ids ids = s.calibration.read(source);
    return s.calibration.ids.empty() ? cut_randomly(ids, context, s.samples, s.seed) : cut(ids, context, s.samples);
}

void run(const quantize_settings& s) {
    gptq::thread_pool pool(s.threads.count);
    const quantize_options options{.grid = s.grid.grid(),
                                   .how = s.nearest ? method::nearest : method::gptq,
                                   .order = act_order_named(s.order),
                                   .static_groups = s.static_groups,
                                   .damp_percent = s.damp,
                                   .true_sequential = s.true_sequential,
                                   .asymmetric = {.strength = s.asymmetric, .causal = s.correction == "causal"}};
    options.grid.check();
    options.asymmetric.check();
    const auto source = model_source::open(s.source);
    expect_float_model(source);
    gptq::io::atomic_folder folder(s.out);  // now: a folder that cannot be written must not be noticed hours later
    const windows calibration = s.nearest ? windows{} : calibration_windows(s, source, pool);
    if (!calibration.empty())
        std::cout << "calibrating on " << calibration.size() << " windows of " << calibration.front().size()
                  << " tokens\n";
    progress_bar bar("quantizing");
    loader_warnings warnings;
    quantize_to_folder(source, folder, options, calibration, pool, [&](const quantized_projection& p) {
        bar.clear();
        std::cout << p.name;
        if (p.report != nullptr) std::cout << "  " << *p.report;
        std::cout << std::endl;
        warnings.add(p.name, p.packed, checkpoint_config(options));
        bar.show(p.done, p.whole);
    });
    bar.clear();
    std::cout << "wrote " << s.out << '\n';
    warnings.print(std::cout);
}

}  // namespace

void add_quantize(CLI::App& app) {
    auto s = std::make_shared<quantize_settings>();
    CLI::App* command = app.add_subcommand("quantize", "Quantize a float model to a GPTQ checkpoint, layer by layer");
    command->add_option("MODEL", s->source, "Hugging Face folder of a float LLaMA model")->required();
    command->add_option("OUT", s->out, "Folder to write; must not exist")->required()->check(not_empty);
    s->grid.add_to(*command);
    command
        ->add_option("--order", s->order,
                     "Order of columns: as they are; by falling activation; by falling activation inside groups")
        ->check(CLI::IsMember({"none", "act", "group-aware"}))
        ->capture_default_str();
    command->add_flag("--static-groups", s->static_groups, "Fit all scales before the first column is rounded");
    command->add_option("--damp", s->damp, "Damping, a share of the Hessian's mean diagonal")->capture_default_str();
    command->add_flag("--true-sequential,!--block-sequential", s->true_sequential,
                      "Calibrate inside a layer on what is quantized already (default), or on the float layer");
    command
        ->add_option("--asymmetric", s->asymmetric,
                     "Correct weights for the errors of the layers before: how much, from 0 (not) to 1")
        ->capture_default_str();
    command
        ->add_option("--correction", s->correction,
                     "Of --asymmetric: with all columns, or with those still to come (GPTAQ)")
        ->check(CLI::IsMember({"full", "causal"}))
        ->capture_default_str();
    command->add_flag("--nearest", s->nearest, "Round to nearest instead: the baseline, without calibration");
    s->calibration.add_to(*command, "--calib", "--calib-ids", "Calibrate on (default: text that the model makes up)");
    command->add_option("--samples", s->samples, "Calibration windows")
        ->check(whole_number(1, most_tokens))
        ->capture_default_str();
    command->add_option("--seed", s->seed, "Which windows of the text")
        ->check(whole_number(0, most_tokens))
        ->capture_default_str();
    s->threads.add_to(*command);
    command->callback([s] { run(*s); });
}

}  // namespace llama
