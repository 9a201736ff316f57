#include "model.hpp"

#include <gptq/core/error.hpp>

#include "finite_floats.hpp"

namespace llama {
namespace {

using gptq::detail::text;

using gptq::detail::expect_equal;

const gptq::io::tensor_ref& float_tensor(const model_source& source, const std::string& name,
                                         const std::vector<std::size_t>& shape) {
    using gptq::io::dtype;
    const auto& tensor = source.files.at(name);
    if (tensor.shape != shape)
        gptq::detail::fail<gptq::shape_error>(gptq::io::describe(tensor), " is ", gptq::io::shape_text(tensor.shape),
                                              ", but config.json makes it ", gptq::io::shape_text(shape));
    if (tensor.type != dtype::F16 && tensor.type != dtype::BF16 && tensor.type != dtype::F32 &&
        tensor.type != dtype::F64)
        gptq::detail::fail<gptq::format_error>(gptq::io::describe(tensor), " is ", gptq::io::name(tensor.type),
                                               ", expected F16, BF16, F32 or F64");
    return tensor;
}

std::vector<float> load_vector(const model_source& source, const std::string& name, std::size_t size) {
    std::vector<float> values(size);
    read_finite(float_tensor(source, name, {size}), values);
    return values;
}

matrix load_matrix(const model_source& source, const std::string& name, std::size_t rows, std::size_t cols) {
    const auto& tensor = float_tensor(source, name, {rows, cols});
    matrix m = make_matrix(rows, cols);
    read_finite(tensor, {m.data(), m.size()});
    return m;
}

bool is_packed(const model_source& source, const std::string& name) {
    return source.quantization && gptq::io::is_quantized(source.files, name, *source.quantization);
}

/// Quantized where the files hold it quantized, else float.
projection load_projection(const model_source& source, const std::string& name, std::size_t out, std::size_t in) {
    if (const auto packed = source.load_packed(name)) {
        expect_equal(name, "out_features", out, packed->out_features);
        expect_equal(name, "in_features", in, packed->in_features);
        return projection(*packed);
    }
    float_weights w{load_matrix(source, name + ".weight", out, in), {}};
    if (source.files.contains(name + ".bias")) w.bias = load_vector(source, name + ".bias", out);
    return projection(std::move(w));
}

/// Packed tensors are checked when they are loaded: their shapes depend on each other.
void expect_projection(const model_source& source, const std::string& name, std::size_t out, std::size_t in) {
    if (is_packed(source, name)) return;
    (void)float_tensor(source, name + ".weight", {out, in});
    if (source.files.contains(name + ".bias")) (void)float_tensor(source, name + ".bias", {out});
}

void expect_tensors(const model_source& source) {
    const config& c = source.shape;
    (void)float_tensor(source, embedding_name, {c.vocab_size, c.hidden_size});
    (void)float_tensor(source, final_norm_name, {c.hidden_size});
    if (!c.tied_embeddings) expect_projection(source, head_name, c.vocab_size, c.hidden_size);
    for (std::size_t i = 0; i < c.layers; ++i) {
        const std::string prefix = layer_prefix(i);
        (void)float_tensor(source, prefix + attention_norm_name, {c.hidden_size});
        (void)float_tensor(source, prefix + mlp_norm_name, {c.hidden_size});
        for (const auto& p : projections) expect_projection(source, prefix + p.name, p.out(c), p.in(c));
    }
}

}  // namespace

std::string layer_prefix(std::size_t index) { return text("model.layers.", index, "."); }

model_source model_source::open(const std::filesystem::path& folder) {
    if (!std::filesystem::is_directory(folder))
        gptq::detail::fail<gptq::file_error>("'", folder.string(),
                                             "' is not a folder; expected a Hugging Face model folder");
    model_source source{folder, read_config(folder), gptq::io::model_files::open(folder),
                        gptq::io::find_quantization(folder)};
    expect_tensors(source);
    return source;
}

std::optional<gptq::packed_linear> model_source::load_packed(const std::string& module) const {
    if (!is_packed(*this, module)) return std::nullopt;
    return gptq::io::load_quantized(files, module, *quantization);
}

matrix model_source::load_embedding() const {
    return load_matrix(*this, embedding_name, shape.vocab_size, shape.hidden_size);
}

layer model_source::load_layer(std::size_t index) const {
    const std::string prefix = layer_prefix(index);
    layer l;
    l.attention_norm = load_vector(*this, prefix + attention_norm_name, shape.hidden_size);
    l.mlp_norm = load_vector(*this, prefix + mlp_norm_name, shape.hidden_size);
    for (const auto& p : projections) l.*p.member = load_projection(*this, prefix + p.name, p.out(shape), p.in(shape));
    return l;
}

std::vector<float> model_source::load_final_norm() const {
    return load_vector(*this, final_norm_name, shape.hidden_size);
}

std::optional<projection> model_source::load_head() const {
    if (shape.tied_embeddings) return std::nullopt;
    return load_projection(*this, head_name, shape.vocab_size, shape.hidden_size);
}

model model::load(const model_source& source) {
    model m;
    m.shape = source.shape;
    m.embedding = source.load_embedding();
    for (std::size_t i = 0; i < source.shape.layers; ++i) m.layers.push_back(source.load_layer(i));
    m.final_norm = source.load_final_norm();
    m.head = source.load_head();
    return m;
}

std::size_t model::bytes() const {
    std::size_t total = (embedding.size() + final_norm.size()) * sizeof(float) + (head ? head->bytes() : 0);
    for (const layer& l : layers) {
        total += (l.attention_norm.size() + l.mlp_norm.size()) * sizeof(float);
        for (const auto& p : projections) total += (l.*p.member).bytes();
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
