#include "model.hpp"

#include <gptq/core/error.hpp>

namespace llama {
namespace {

using gptq::detail::text;

std::vector<float> load_vector(const gptq::io::model_files& files, const std::string& name, std::size_t size) {
    auto values = gptq::io::to_floats(files.at(name));
    gptq::detail::expect_equal(name, "size", size, values.size());
    return values;
}

matrix load_matrix(const gptq::io::model_files& files, const std::string& name, std::size_t rows, std::size_t cols) {
    const auto& tensor = files.at(name);
    gptq::detail::expect_equal(name, "number of axes", 2, tensor.shape.size());
    gptq::detail::expect_equal(name, "rows", rows, tensor.shape[0]);
    gptq::detail::expect_equal(name, "columns", cols, tensor.shape[1]);
    matrix m = make_matrix(rows, cols);
    gptq::io::read_floats(tensor, {m.data(), m.size()});
    return m;
}

/// Quantized where the files hold it quantized, else float.
projection load_projection(const model_source& source, const std::string& name, std::size_t out, std::size_t in) {
    if (source.quantization && source.files.contains(name + ".qweight")) {
        const auto packed = gptq::io::load_gptq(source.files, name, *source.quantization);
        gptq::detail::expect_equal(name, "out_features", out, packed.out_features);
        gptq::detail::expect_equal(name, "in_features", in, packed.in_features);
        return projection(packed);
    }
    float_weights w{load_matrix(source.files, name + ".weight", out, in), {}};
    if (source.files.contains(name + ".bias")) w.bias = load_vector(source.files, name + ".bias", out);
    return projection(std::move(w));
}

}  // namespace

std::string layer_prefix(std::size_t index) { return text("model.layers.", index, "."); }

model_source model_source::open(const std::filesystem::path& folder) {
    if (!std::filesystem::is_directory(folder))
        gptq::detail::fail<gptq::file_error>(folder.string(),
                                             ": is not a folder; expected a Hugging Face model folder");
    return {folder, read_config(folder), gptq::io::model_files::open(folder), gptq::io::find_gptq_config(folder)};
}

layer model_source::load_layer(std::size_t index) const {
    const std::string prefix = layer_prefix(index);
    const auto load = [&](const char* name, std::size_t out, std::size_t in) {
        return load_projection(*this, prefix + name, out, in);
    };
    const std::size_t hidden = shape.hidden_size, ff = shape.intermediate_size;
    layer l;
    l.attention_norm = load_vector(files, prefix + "input_layernorm.weight", hidden);
    l.mlp_norm = load_vector(files, prefix + "post_attention_layernorm.weight", hidden);
    l.q = load("self_attn.q_proj", shape.query_size(), hidden);
    l.k = load("self_attn.k_proj", shape.kv_size(), hidden);
    l.v = load("self_attn.v_proj", shape.kv_size(), hidden);
    l.o = load("self_attn.o_proj", hidden, shape.query_size());
    l.gate = load("mlp.gate_proj", ff, hidden);
    l.up = load("mlp.up_proj", ff, hidden);
    l.down = load("mlp.down_proj", hidden, ff);
    return l;
}

model model::load(const model_source& source) {
    const config& shape = source.shape;
    model m;
    m.shape = shape;
    m.embedding = load_matrix(source.files, "model.embed_tokens.weight", shape.vocab_size, shape.hidden_size);
    for (std::size_t i = 0; i < shape.layers; ++i) m.layers.push_back(source.load_layer(i));
    m.final_norm = load_vector(source.files, "model.norm.weight", shape.hidden_size);
    const bool has_head = source.files.contains("lm_head.weight") || source.files.contains("lm_head.qweight");
    if (has_head && !shape.tied_embeddings)
        m.head = load_projection(source, "lm_head", shape.vocab_size, shape.hidden_size);
    else if (!shape.tied_embeddings)
        (void)source.files.at("lm_head.weight");  // says what is missing, and from where
    return m;
}

std::size_t model::bytes() const {
    std::size_t total = (embedding.size() + final_norm.size()) * sizeof(float) + (head ? head->bytes() : 0);
    for (const layer& l : layers) {
        total += (l.attention_norm.size() + l.mlp_norm.size()) * sizeof(float);
        for (const auto& [name, member] : projections) total += (l.*member).bytes();
    }
    return total;
}

void expect_ids(const config& shape, std::span<const std::uint32_t> ids) {
    for (std::size_t i = 0; i < ids.size(); ++i)
        if (ids[i] >= shape.vocab_size)
            gptq::detail::fail<gptq::option_error>("token ", i, " is ", ids[i], ", but the model has ",
                                                   shape.vocab_size, " tokens: ids of another tokenizer?");
}

void expect_context(const config& shape, std::size_t context) {
    if (context < 2 || context > shape.max_positions)
        gptq::detail::fail<gptq::option_error>("--context is ", context, ", expected 2 … ", shape.max_positions,
                                               ", the model's positions");
}

}  // namespace llama
