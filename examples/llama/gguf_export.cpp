#include "gguf_export.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <gptq/core/error.hpp>

#include "gguf_blocks.hpp"
#include "gguf_metadata.hpp"
#include "gguf_names.hpp"
#include "gguf_tokenizer.hpp"

namespace llama {
namespace {

using gptq::ggml_type;
using gptq::packed_linear;
using gptq::io::gguf_writer;
using order = std::vector<std::size_t>;  ///< which row or column each is; empty: as they are

/// A tensor of the file, and what writes its bytes when its turn comes.
struct planned_tensor {
    gptq::io::gguf_declaration declaration;
    bool requantized;
    std::function<void(gguf_writer&)> write;
};

/// What a projection is called, and the orders of its outputs and inputs.
struct projection_plan {
    std::string module, name;
    std::size_t out, in;
    order outputs, inputs;
};

packed_linear reordered(packed_linear layer, const projection_plan& p) {
    if (!p.inputs.empty()) layer = gptq::permute_inputs(std::move(layer), p.inputs);
    if (!p.outputs.empty()) layer = gptq::permute_outputs(layer, p.outputs);
    return layer;
}

/// Decides, tensor by tensor, what the file will hold. Layers are loaded to look at them, and not kept.
class planner {
public:
    planner(const model_source& source, const gguf_options& options) : source_(source), options_(options) {
        const config& shape = source.shape;
        add_matrix(embedding_name, "token_embd.weight", {});
        add_rope_divisors();
        for (std::size_t i = 0; i < shape.layers; ++i) add_layer(i);
        add_vector(final_norm_name, "output_norm.weight", {});
        if (!shape.tied_embeddings) add_projection({head_name, "output", shape.vocab_size, shape.hidden_size, {}, {}});
    }

    [[nodiscard]] const std::vector<planned_tensor>& tensors() const noexcept { return tensors_; }

    /// The type that most weights of projections are stored in.
    [[nodiscard]] ggml_type usual_type() const {
        return std::ranges::max_element(weights_, {}, [](const auto& entry) { return entry.second; })->first;
    }

private:
    void add_layer(std::size_t index) {
        const std::string from = layer_prefix(index), to = gguf_layer_prefix(index);
        add_vector(from + attention_norm_name, to + "attn_norm.weight", {});
        add_vector(from + mlp_norm_name, to + "ffn_norm.weight", {});
        const order hidden = order_of_mlp(from);
        for (std::size_t i = 0; i < projections.size(); ++i) {
            const named_projection& p = projections[i];
            const bool makes_hidden = p.member == &layer::gate || p.member == &layer::up;
            add_projection({from + p.name, to + gguf_projections[i].name, p.out(source_.shape), p.in(source_.shape),
                            makes_hidden ? hidden : gguf_row_order(source_.shape, gguf_projections[i]),
                            p.member == &layer::down ? hidden : order{}});
            weights_[tensors_.back().declaration.type] += p.out(source_.shape) * p.in(source_.shape);
        }
    }

    /// The order of the MLP's inner features in which a down projection with act-order is exact.
    [[nodiscard]] order order_of_mlp(const std::string& prefix) const {
        const auto down = std::ranges::find(projections, &layer::down, &named_projection::member);
        const auto packed = source_.load_packed(prefix + down->name);
        return packed ? order_for_blocks(packed->g_idx) : order{};
    }

    /// The weights come last, after a bias.
    void add_projection(projection_plan p) {
        const auto packed = source_.load_packed(p.module);
        if (const std::string bias = p.module + ".bias"; source_.files.contains(bias)) add_bias(bias, p);
        if (!packed) return add_matrix(p.module + ".weight", p.name + ".weight", p.outputs);
        gptq::detail::expect_equal(p.module, "out_features", p.out, packed->out_features);
        gptq::detail::expect_equal(p.module, "in_features", p.in, packed->in_features);
        const auto choice = choose_blocks(p.module, reordered(*packed, p), options_.requantize);
        std::string name = p.name + ".weight";
        tensors_.push_back({{name, choice.type, {p.out, p.in}},
                            !choice.exact,
                            [&source = source_, name, choice, plan = std::move(p)](gguf_writer& file) {
                                file.write(name, to_blocks(reordered(*source.load_packed(plan.module), plan), choice));
                            }});
    }

    void add_bias(const std::string& tensor, const projection_plan& p) {
        gptq::detail::expect_equal(tensor, "number of elements", p.out,
                                   gptq::io::element_count(source_.files.at(tensor)));
        if (p.module != head_name) return add_vector(tensor, p.name + ".bias", p.outputs);
        if (std::ranges::any_of(gptq::io::to_floats(source_.files.at(tensor)), [](float b) { return b != 0; }))
            gptq::detail::fail<gptq::option_error>(gptq::io::describe(source_.files.at(tensor)),
                                                   ": llama.cpp's architecture 'llama' has no bias in the head");
    }

    void add_matrix(const std::string& from, std::string to, order rows) {
        const auto& tensor = source_.files.at(from);
        const ggml_type type = stored_type(options_.floats, tensor.shape[1]);
        tensors_.push_back(
            {{to, type, tensor.shape}, false, [&tensor, to, type, rows = std::move(rows)](gguf_writer& file) {
                 write_matrix(file, to, type, tensor, rows);
             }});
    }

    void add_vector(const std::string& from, std::string to, order elements) {
        const auto& tensor = source_.files.at(from);
        tensors_.push_back({{to, ggml_type::f32, tensor.shape},
                            false,
                            [&tensor, to, elements = std::move(elements)](gguf_writer& file) {
                                write_vector(file, to, tensor, elements);
                            }});
    }

    void add_rope_divisors() {
        const std::string name = "rope_freqs.weight";
        std::vector<float> divisors = gguf_rope_divisors(source_.shape);
        if (divisors.empty()) return;
        const std::size_t size = divisors.size();
        tensors_.push_back(
            {{name, ggml_type::f32, {size}}, false, [name, divisors = std::move(divisors)](gguf_writer& file) {
                 file.write(name, std::as_bytes(std::span(divisors)));
             }});
    }

    const model_source& source_;
    const gguf_options& options_;
    std::vector<planned_tensor> tensors_;
    std::map<ggml_type, std::size_t> weights_;  ///< of the layers' projections
};

/// What a model is called: its folder, however the path to it is written.
std::string name_of(const std::filesystem::path& folder) {
    return std::filesystem::weakly_canonical(folder).filename().string();
}

}  // namespace

std::vector<std::string> write_gguf(const model_source& source, const std::filesystem::path& path,
                                    const gguf_options& options, const on_gguf_tensor& done) {
    expect_gguf_tensors(source);
    gguf_tokenizer tokenizer = read_gguf_tokenizer(source.folder, source.shape);
    const planner plan(source, options);
    gptq::io::gguf_metadata metadata = gguf_general(name_of(source.folder), plan.usual_type());
    metadata.merge(gguf_architecture(source.shape));
    metadata.merge(tokenizer.keys);

    std::vector<gptq::io::gguf_declaration> declarations;
    for (const planned_tensor& tensor : plan.tensors()) declarations.push_back(tensor.declaration);
    gguf_writer file(path, metadata, declarations);
    for (std::size_t i = 0; i < plan.tensors().size(); ++i) {
        const planned_tensor& tensor = plan.tensors()[i];
        tensor.write(file);
        done({tensor.declaration.name, tensor.declaration.type, tensor.requantized, i + 1, plan.tensors().size()});
    }
    file.finish();
    return std::move(tokenizer.remarks);
}

}  // namespace llama
