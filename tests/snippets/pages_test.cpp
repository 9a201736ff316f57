// The blocks of code of docs/solver.md, docs/kernels.md and docs/formats.md, in that order.
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <utility>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/calib/hessian.hpp>
#include <gptq/io/gptq_store.hpp>
#include <gptq/io/hessian_file.hpp>
#include <gptq/io/model_files.hpp>
#include <gptq/io/model_writer.hpp>
#include <gptq/io/quantization.hpp>
#include <gptq/pack/awq.hpp>
#include <gptq/pack/ggml_convert.hpp>
#include <gptq/runtime.hpp>
#include <gptq/solve/solver.hpp>

#include "pack/random_layer.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace {

constexpr std::size_t in_features = 256;

gptq::matrix<float> some_matrix(std::size_t rows, std::size_t cols) {
    auto m = gptq::matrix<float>::from_shape({rows, cols});
    for (std::size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(i * i % 101) / 50 - 1;
    return m;
}

TEST_CASE("docs/solver.md: Hessians, and one factor for many weights") {
    const temp_folder folder;
    const auto batch = some_matrix(20, in_features);
    std::vector<float> token_weights(20, 1);
    token_weights[7] = 0;
    gptq::hessian other(in_features);
    other.add(batch);
    gptq::io::save_hessian(folder / "shard-4.safetensors", other);

    gptq::hessian h(in_features);  // gptq::hessian<double> for ill-conditioned work
    h.add(batch);                  // [tokens, in_features], f32, f64, f16, bf16, any strides
    h.add(batch, token_weights);   // a weight per token: 0 masks padding
    gptq::io::save_hessian(folder / "shard-3.safetensors", h);  // then, somewhere else:
    h.merge(gptq::io::load_hessian<gptq::hessian<float>>(folder / "shard-4.safetensors"));

    CHECK(h.tokens() == 59);
    CHECK(gptq::io::load_hessian<gptq::hessian<float>>(folder / "shard-3.safetensors").tokens() == 39);

    const gptq::uniform_grid grid{.bits = 4, .group_size = 128};
    const auto w_q = some_matrix(48, in_features);
    auto w_k = w_q;

    const auto f = gptq::factorize(std::move(h), {.damp_percent = 0.01, .order = gptq::act_order::group_aware});
    const auto q = gptq::solve(w_q, f, grid);           // w_q is only read
    const auto k = gptq::solve_in_place(w_k, f, grid);  // solved in w_k's own memory

    CHECK(q.codes.codes == k.codes.codes);
    CHECK(q.report.loss > 0);
}

TEST_CASE("docs/kernels.md: activations quantized once, for all layers that see them") {
    const gptq::linear q(gptq::pack(random_layer(48, in_features, {.bits = 4})));
    const gptq::linear k(gptq::pack(random_layer(16, in_features, {.bits = 4})));
    const auto tokens = some_matrix(5, in_features);
    auto y_q = some_matrix(5, 48), y_k = some_matrix(5, 16), expected = some_matrix(5, 16);
    gptq::thread_pool pool(2);

    gptq::activations<gptq::digits<2>> x(q.layout());  // 16 bits; <1> is 8, <3> is 24
    x.assign(tokens, pool);                            // once for q, k and v
    gptq::gemm(q, x, y_q, pool);
    gptq::gemm(k, x, y_k, pool);

    gptq::gemm(k, tokens, expected);
    CHECK(std::ranges::equal(y_k, expected));
}

TEST_CASE("docs/formats.md: a layer from any folder, in other layouts") {
    const temp_folder made;
    const std::filesystem::path folder = made.path();
    auto quantized = random_layer(16, in_features, {.bits = 4, .group_size = 32});
    for (auto& parameters : quantized.parameters) parameters.zero = 8;
    const gptq::io::gptq_config config{.bits = 4, .group_size = 32};
    const auto tensors = gptq::io::gptq_tensors("model.layers.0.mlp.down_proj", gptq::pack(quantized), config);
    gptq::io::model_writer writer(folder, gptq::io::declare_gptq("model.layers.0.mlp.down_proj", 16, in_features,
                                                                 config, gptq::scale_type::f16, false));
    for (const auto& tensor : tensors) writer.write(tensor.declaration.name, tensor.bytes);
    writer.finish();
    gptq::io::write_gptq_config(folder, config);

    const auto how = gptq::io::read_quantization(folder);    // GPTQ, AWQ or compressed-tensors
    const auto files = gptq::io::model_files::open(folder);  // mapped; one file or shards
    const auto layer = gptq::io::load_quantized(files, "model.layers.0.mlp.down_proj", how);
    const auto awq = gptq::to_awq(layer);  // exact, or an option_error with the reason
    const auto blocks = gptq::to_ggml(layer, gptq::exact_ggml_type(layer));

    CHECK(gptq::to_gptq(awq).qweight == layer.qweight);
    CHECK(blocks.size() == 16 * (in_features / 32) * 18);  // of Q4_0
}

}  // namespace
