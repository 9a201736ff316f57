#include "quantize.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include <gptq/core/error.hpp>

#include "model_folder.hpp"

namespace llama {
namespace {

/// The files store zero points as v1, which every loader reads, where it is certain that none is 0.
gptq::zero_format zero_format_for(const gptq::uniform_grid& grid) {
    return grid.sym ? gptq::zero_format::v1 : gptq::zero_format::v2;
}

/// f16, the type that checkpoints store scales and biases in, ends at 65504: what lies beyond was cut off, or is
/// infinite.
void expect_storable(const std::string& name, const gptq::packed_linear& packed) {
    constexpr float largest = 65504;
    const auto too_large = [](float v) { return std::abs(v) > largest; };
    if (std::ranges::any_of(packed.scales, [](float s) { return std::abs(s) >= largest; }))
        gptq::detail::fail<gptq::numeric_error>(name, ": weights of this size need scales beyond f16's ", largest);
    if (std::ranges::any_of(packed.bias, too_large))
        gptq::detail::fail<gptq::numeric_error>(name, ": has a bias beyond f16's ", largest);
}

/// A network on its way through one layer.
struct stream {
    const config& shape;
    gptq::thread_pool& pool;
    std::vector<matrix> states;  ///< [window] → [context, hidden]
    layer weights = {};
    std::vector<matrix> attended = std::vector<matrix>(states.size());  ///< [window] → [context, query_size]

    // What each group of projections is given, in the order in which data meets them.
    [[nodiscard]] matrix attention_input(std::size_t w) const {
        return normed(states[w], weights.attention_norm, shape.rms_norm_eps);
    }
    [[nodiscard]] matrix output_input(std::size_t w) {
        kv_cache cache;
        const std::array<segment, 1> whole = {{{&cache, states[w].shape()[0]}}};
        return attended[w] = attention(shape, weights, attention_input(w), whole, pool);
    }
    [[nodiscard]] matrix mlp_input(std::size_t w) const {
        return normed(states[w], weights.mlp_norm, shape.rms_norm_eps);
    }
    [[nodiscard]] matrix down_input(std::size_t w) const { return mlp_hidden(weights, mlp_input(w), pool); }

    /// The states go past the attention, to whose output projection all windows have been.
    void pass_attention() {
        advance([&](std::size_t w) { return weights.o(std::exchange(attended[w], {}), pool); });
    }
    void pass_mlp() {
        advance([&](std::size_t w) { return weights.down(down_input(w), pool); });
    }
    void pass() {
        pool.for_each(states.size(), [&](std::size_t w) { (void)output_input(w); });
        pass_attention();
        pass_mlp();
    }

private:
    /// states[w] += update(w) for all windows.
    template <class Update>
    void advance(Update update) {
        pool.for_each(states.size(), [&](std::size_t w) { states[w] += update(w); });
    }
};

/// Projections that share their input, and with it the Hessian and its factor.
struct stage {
    std::span<const named_projection> members;
    std::optional<gptq::hessian<float>> inputs;
    std::optional<gptq::input_deviation<float>> deviation;  ///< only of asymmetric calibration
};

/// Quantizes one layer after the other while the calibration windows' hidden states move through them: those of the
/// network quantized so far, and with asymmetric calibration beside them those of the float network.
class layer_quantizer {
public:
    layer_quantizer(const model_source& source, const quantize_options& options, const windows& calibration,
                    gptq::thread_pool& pool, const on_projection& done)
        : source_(source),
          options_(options),
          pool_(pool),
          done_(done),
          quantized_{source.shape, pool, embedded(source, options, calibration)} {
        if (options.how == method::gptq && options.asymmetric.strength > 0) float_.emplace(quantized_);
    }

    void run(std::size_t index) {
        index_ = index;
        quantized_.weights = source_.load_layer(index);
        if (float_) float_->weights = quantized_.weights;
        if (options_.how == method::nearest)
            for (const auto& p : projections) round(p);
        else if (options_.true_sequential)
            solve_in_turn();
        else
            solve_at_once();
    }

private:
    [[nodiscard]] static std::vector<matrix> embedded(const model_source& source, const quantize_options& options,
                                                      const windows& calibration) {
        std::vector<matrix> states;
        if (options.how == method::nearest) return states;
        const matrix table = source.load_embedding();
        for (const token_ids& window : calibration) states.push_back(embed(table, window));
        return states;
    }

    // True-sequential: every stage sees what the stages before it have become.
    void solve_in_turn() {
        solve(collect(qkv(), &stream::attention_input));
        solve(collect(o(), &stream::output_input));
        for_each_stream(&stream::pass_attention);
        solve(collect(gate_up(), &stream::mlp_input));
        solve(collect(down(), &stream::down_input));
        for_each_stream(&stream::pass_mlp);
    }

    // All Hessians first, on the float layer; then all solves; then the states pass through the quantized layer.
    void solve_at_once() {
        std::vector<matrix> before = quantized_.states;
        std::vector<stage> stages;
        stages.push_back(collect(qkv(), &stream::attention_input));
        stages.push_back(collect(o(), &stream::output_input));
        for_each_stream(&stream::pass_attention);
        stages.push_back(collect(gate_up(), &stream::mlp_input));
        stages.push_back(collect(down(), &stream::down_input));
        for_each_stream(&stream::pass_mlp);
        for (stage& s : stages) solve(std::move(s));
        quantized_.states = std::move(before);
        quantized_.pass();
    }

    static std::span<const named_projection> qkv() { return std::span(projections).subspan(0, 3); }
    static std::span<const named_projection> o() { return std::span(projections).subspan(3, 1); }
    static std::span<const named_projection> gate_up() { return std::span(projections).subspan(4, 2); }
    static std::span<const named_projection> down() { return std::span(projections).subspan(6, 1); }

    void for_each_stream(void (stream::*step)()) {
        (quantized_.*step)();
        if (float_) ((*float_).*step)();
    }

    /// The Hessian of a stage's inputs, a few windows at a time: they are made in parallel, then added in order.
    /// @param inputs  the member of stream that makes them
    template <class Inputs>
    [[nodiscard]] stage collect(std::span<const named_projection> members, Inputs inputs) {
        constexpr std::size_t together = 16;
        const std::size_t in_features = (quantized_.weights.*members[0].member).in_features();
        const std::size_t windows = quantized_.states.size();
        stage result{members, gptq::hessian<float>(in_features), {}};
        if (float_) result.deviation.emplace(in_features);
        for (std::size_t first = 0; first < windows; first += together) {
            const auto inputs_in = [&](stream& network) {
                std::vector<matrix> some(std::min(together, windows - first));
                pool_.for_each(some.size(), [&](std::size_t i) { some[i] = std::invoke(inputs, network, first + i); });
                return some;
            };
            const std::vector<matrix> some = inputs_in(quantized_);
            for (const matrix& x : some) result.inputs->add(x, pool_);
            if (!float_) continue;
            const std::vector<matrix> wanted = inputs_in(*float_);
            for (std::size_t i = 0; i < some.size(); ++i) result.deviation->add(wanted[i], some[i], pool_);
        }
        if (result.inputs->tokens() == 0)
            gptq::detail::fail<gptq::numeric_error>(layer_prefix(index_), members[0].name,
                                                    ": its inputs are not finite on any of the ",
                                                    result.inputs->refused_tokens(), " calibration tokens");
        return result;
    }

    void solve(stage s) {
        const auto factor = gptq::factorize(
            std::move(*s.inputs),
            {.damp_percent = options_.damp_percent, .order = options_.order, .group_size = options_.grid.group_size},
            pool_);
        std::optional<matrix> correction;
        if (s.deviation)
            correction = gptq::asymmetric_correction(std::move(*s.deviation), factor, options_.asymmetric, pool_);
        for (const named_projection& p : s.members) {
            const matrix& w = (quantized_.weights.*p.member).floats().weights;
            std::optional<matrix> corrected;
            if (correction) corrected = gptq::asymmetric_target(w, *correction, pool_);
            const auto [codes, report] =
                gptq::solve(corrected ? *corrected : w, factor, options_.grid,
                            {.static_groups = options_.static_groups, .relative_error = true}, pool_);
            finish(p, codes, &report);
        }
    }

    void round(const named_projection& p) {
        finish(p, gptq::round_to_nearest((quantized_.weights.*p.member).floats().weights, options_.grid), nullptr);
    }

    /// Hands the result on, and lets the layer go on with what it has become.
    void finish(const named_projection& p, const gptq::quantized<gptq::uniform_grid>& codes,
                const gptq::solve_report* report) {
        projection& target = quantized_.weights.*p.member;
        const std::string name = layer_prefix(index_) + p.name;
        gptq::packed_linear packed = gptq::pack(codes, zero_format_for(options_.grid));
        for (const float b : target.floats().bias) packed.bias.push_back(gptq::rounded_to(packed.stored_scales, b));
        expect_storable(name, packed);
        if (options_.how == method::gptq) target = projection(float_weights{gptq::dequantize(codes), packed.bias});
        done_({name, packed, report, ++count_, source_.shape.layers * projections.size()});
    }

    const model_source& source_;
    const quantize_options& options_;
    gptq::thread_pool& pool_;
    const on_projection& done_;
    stream quantized_;
    std::optional<stream> float_;
    std::size_t index_ = 0;
    std::size_t count_ = 0;
};

/// The tensors that packed projections take the place of.
std::set<std::string> projection_tensors(const model_source& source) {
    std::set<std::string> names;
    for (std::size_t i = 0; i < source.shape.layers; ++i)
        for (const auto& p : projections)
            for (const char* kind : {".weight", ".bias"}) names.insert(layer_prefix(i) + p.name + kind);
    return names;
}

/// What the output file will hold: all other tensors as they are, and the packed projections.
std::vector<gptq::io::tensor_declaration> declare_output(const model_source& source,
                                                         const std::set<std::string>& replaced,
                                                         const gptq::io::gptq_config& config, gptq::scale_type scales) {
    std::vector<gptq::io::tensor_declaration> result;
    for (const auto& tensor : source.files.tensors())
        if (!replaced.contains(tensor.name)) result.push_back({tensor.name, tensor.type, tensor.shape});
    for (std::size_t i = 0; i < source.shape.layers; ++i)
        for (const auto& p : projections) {
            const std::string module = layer_prefix(i) + p.name;
            const bool has_bias = source.files.contains(module + ".bias");
            for (auto& declared :
                 gptq::io::declare_gptq(module, p.out(source.shape), p.in(source.shape), config, scales, has_bias))
                result.push_back(std::move(declared));
        }
    return result;
}

}  // namespace

gptq::io::gptq_config checkpoint_config(const quantize_options& options) {
    // With static groups or the group-aware order the act-order leaves no trace in the file, and loaders need not know.
    const bool has_g_idx = options.how == method::gptq && options.order == gptq::act_order::descending &&
                           !options.static_groups && options.grid.group_size != gptq::per_row;
    gptq::io::gptq_config config;
    config.bits = options.grid.bits;
    config.group_size = options.grid.group_size;
    config.desc_act = has_g_idx;
    config.sym = options.grid.sym;
    config.zeros = zero_format_for(options.grid);
    config.static_groups = options.static_groups;
    config.true_sequential = options.true_sequential;
    config.damp_percent = options.damp_percent;
    return config;
}

void expect_float_model(const model_source& source) {
    if (source.quantization)
        gptq::detail::fail<gptq::option_error>(source.folder.string(), ": is quantized already; give the float model");
}

void quantize_layers(const model_source& source, const quantize_options& options, const windows& calibration,
                     gptq::thread_pool& pool, const on_projection& done) {
    expect_float_model(source);
    options.asymmetric.check();
    for (const token_ids& window : calibration) expect_ids(source.shape, window);
    layer_quantizer quantizer(source, options, calibration, pool, done);
    for (std::size_t i = 0; i < source.shape.layers; ++i) quantizer.run(i);
}

void quantize_to_folder(const model_source& source, gptq::io::atomic_folder& folder, const quantize_options& options,
                        const windows& calibration, gptq::thread_pool& pool, const on_projection& done) {
    // What is copied as it is must be as sound as what is quantized: loading it is the check.
    (void)source.load_embedding();
    (void)source.load_final_norm();
    (void)source.load_head();
    const auto config = checkpoint_config(options);
    const auto replaced = projection_tensors(source);
    gptq::io::safetensors_writer writer(folder.path() / "model.safetensors",
                                        declare_output(source, replaced, config, options.grid.scales));
    for (const auto& tensor : source.files.tensors())
        if (!replaced.contains(tensor.name)) writer.write(tensor.name, tensor.bytes);
    quantize_layers(source, options, calibration, pool, [&](const quantized_projection& p) {
        for (const auto& tensor : gptq::io::gptq_tensors(p.name, p.packed, config))
            writer.write(tensor.declaration.name, tensor.bytes);
        done(p);
    });
    writer.finish();
    copy_small_files(source.folder, folder.path());
    gptq::io::write_gptq_config(folder.path(), config);
    folder.commit();
}

}  // namespace llama
