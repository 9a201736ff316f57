// Running a layer of a checkpoint, which needs no BLAS: open the folder, load the layer, multiply.
//     example-05_load_checkpoint_and_gemv [FOLDER]    of a quantized LLaMA; without it a small checkpoint is made
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <gptq/io/gptq_store.hpp>
#include <gptq/io/model_files.hpp>
#include <gptq/io/model_writer.hpp>
#include <gptq/io/quantization.hpp>
#include <gptq/runtime.hpp>

/// Writes a model of one layer, as quantizers do.
void write_small_checkpoint(const std::filesystem::path& folder) {
    gptq::quantized<gptq::uniform_grid> q{{.bits = 4, .group_size = 64}, 96, 256, {}, {}, {}};
    for (unsigned i = 0; i < 96 * 256; ++i) q.codes.push_back(static_cast<std::uint8_t>(i * i % 13));
    for (int i = 0; i < 256; ++i) q.g_idx.push_back(i / 64);
    q.parameters.assign(96 * q.groups(), {.scale = 1 / 64.0F, .zero = 8});

    const gptq::io::gptq_config config{.bits = 4, .group_size = 64};
    const auto tensors = gptq::io::gptq_tensors("model.layers.0.mlp.down_proj", gptq::pack(q), config);
    std::vector<gptq::io::tensor_declaration> declared;
    for (const auto& tensor : tensors) declared.push_back(tensor.declaration);
    gptq::io::model_writer writer(folder, declared);
    for (const auto& tensor : tensors) writer.write(tensor.declaration.name, tensor.bytes);
    writer.finish();
    gptq::io::write_gptq_config(folder, config);
}

std::vector<float> some_token(std::size_t features) {
    std::vector<float> x(features);
    for (std::size_t i = 0; i < features; ++i) x[i] = std::sin(static_cast<float>(i));
    return x;
}

int main(int argc, char** argv) {
    std::string made = (std::filesystem::temp_directory_path() / "gptq-example-XXXXXX").string();
    if (argc < 2 && ::mkdtemp(made.data()) == nullptr) return 1;
    if (argc < 2) write_small_checkpoint(made);
    const std::filesystem::path folder = argc < 2 ? made : argv[1];
    gptq::thread_pool pool;

    const auto how = gptq::io::read_quantization(folder);    // GPTQ, AWQ or compressed-tensors
    const auto files = gptq::io::model_files::open(folder);  // mapped
    const auto packed = gptq::io::load_quantized(files, "model.layers.0.mlp.down_proj", how);
    const gptq::linear layer(packed);  // re-tiled; or a direct_linear, which multiplies the file's own words
    std::vector<float> x = some_token(layer.in_features()), y(layer.out_features());
    gptq::gemv(layer, x, y, pool);  // activations of 16 bits; gemv<gptq::digits<1>> takes 8, <3> takes 24

    double worst = 0;  // distance from the sum in double, as a share of Σ|ŵ|
    for (std::size_t o = 0; o < y.size(); ++o) {
        double exact = 0, weights = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const auto w = static_cast<double>(gptq::value_at(packed, o, i));
            exact += w * static_cast<double>(x[i]);
            weights += std::abs(w);
        }
        worst = std::max(worst, std::abs(static_cast<double>(y[o]) - exact) / weights);
    }
    std::cout << y.size() << " x " << x.size() << ", " << layer.bits() << " bits, error " << worst << '\n';
    if (argc < 2) std::filesystem::remove_all(made);
    return worst < 3e-5 ? 0 : 1;  // half a unit of 16 bits and the roundings that kernels/gemv.hpp lists
}
