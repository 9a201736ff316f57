#include <gptq/io/quantization.hpp>

#include <random>
#include <string>
#include <variant>
#include <vector>

#include <gptq/io/awq_store.hpp>
#include <gptq/io/compressed_tensors_store.hpp>
#include <gptq/io/gptq_store.hpp>
#include <gptq/io/model_files.hpp>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/random_layer.hpp"
#include "support/temp_folder.hpp"

namespace quantization_test {

using namespace gptq::io;
using gptq::packed_linear;

namespace {

/// A model folder with one layer "m".
void write_model(const temp_folder& folder, const std::vector<stored_tensor>& tensors) {
    std::vector<tensor_declaration> declared;
    for (const auto& tensor : tensors) declared.push_back(tensor.declaration);
    safetensors_writer writer(folder / "model.safetensors", declared);
    for (const auto& tensor : tensors) writer.write(tensor.declaration.name, tensor.bytes);
    writer.finish();
    folder.write("config.json", "{}");
}

void check_model(const temp_folder& folder, const packed_linear& expected) {
    const auto how = find_quantization(folder.path());
    REQUIRE(how);
    const auto files = model_files::open(folder.path());
    CHECK(is_quantized(files, "m", *how));
    CHECK_FALSE(is_quantized(files, "other", *how));
    const packed_linear p = load_quantized(files, "m", *how);
    CHECK(p.qweight == expected.qweight);
    CHECK(p.scales == expected.scales);
    CHECK(p.g_idx == expected.g_idx);
    for (std::size_t o = 0; o < p.out_features; ++o)
        for (std::size_t k = 0; k < p.groups; ++k) REQUIRE(zero_at(p, o, k) == zero_at(expected, o, k));
}

packed_linear layer(bool sym) {
    std::mt19937 random(3);
    return support::random_layer(random, {.out = 32, .in = 128, .group_size = 64, .sym = sym});
}

std::string method(const std::string& file, const std::string& text) {
    const temp_folder folder;
    folder.write(file, text);
    const auto how = find_quantization(folder.path());
    return how ? std::string(to_json(*how)["quant_method"]) : "none";
}

}  // namespace

TEST_CASE("a float model has no quantization to read, and says so", "[io]") {
    const temp_folder folder;
    folder.write("config.json", "{}");
    CHECK_FALSE(find_quantization(folder.path()));
    CHECK(message_of<gptq::format_error>([&] { (void)read_quantization(folder.path()); }) ==
          folder.path().string() +
              ": is not a quantized model: has no quantize_config.json or quant_config.json, and no "
              "quantization_config in a config.json");
}

TEST_CASE("a layer is loaded from each of the formats, and is the same", "[io]") {
    for (const bool sym : {true, false}) {
        const packed_linear p = layer(sym);
        const temp_folder gptq, awq, compressed;
        const gptq_config gptq_how{.bits = 4, .group_size = 64, .sym = sym, .zeros = gptq::zero_format::v2};
        write_model(gptq, gptq_tensors("m", p, gptq_how));
        write_gptq_config(gptq.path(), gptq_how);
        check_model(gptq, p);

        const awq_config awq_how{.group_size = 64, .sym = sym};
        write_model(awq, awq_tensors("m", p, awq_how));
        write_awq_config(awq.path(), awq_how);
        check_model(awq, p);

        const compressed_config compressed_how{.bits = 4, .group_size = 64, .sym = sym};
        write_model(compressed, compressed_tensors("m", gptq::to_compressed(p, sym), compressed_how));
        write_compressed_config(compressed.path(), compressed_how);
        check_model(compressed, p);
    }
}

TEST_CASE("the method is recognised where it is named, and where old files leave it out", "[io]") {
    CHECK(method("quantize_config.json", R"({"bits":4,"group_size":128})") == "gptq");
    CHECK(method("quantize_config.json", R"({"bits":4,"group_size":128,"version":"gptq_v2"})") == "gptq");
    CHECK(method("quant_config.json", R"({"w_bit":4,"q_group_size":128,"zero_point":true,"version":"GEMM"})") == "awq");
    CHECK(method("config.json", R"({"quantization_config":{"quant_method":"awq","bits":4,"group_size":128}})") ==
          "awq");
    const std::string compressed = R"({"quant_method":"compressed-tensors","format":"pack-quantized",
        "config_groups":{"group_0":{"targets":["Linear"],"weights":{"num_bits":4,"group_size":128}}}})";
    CHECK(method("config.json", R"({"quantization_config":)" + compressed + "}") == "compressed-tensors");
    CHECK(method("config.json", R"({"compression_config":)" + compressed + "}") == "compressed-tensors");
    CHECK(method("config.json", R"({"hidden_size":64})") == "none");
    CHECK(contains(message_of<gptq::format_error>([] {
                       (void)method("config.json", R"({"quantization_config":{"quant_method":"bitsandbytes"}})");
                   }),
                   "quant_method is \"bitsandbytes\", expected \"gptq\", \"awq\" or \"compressed-tensors\""));
}

}  // namespace quantization_test
