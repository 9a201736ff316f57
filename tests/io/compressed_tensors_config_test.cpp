#include <gptq/io/compressed_tensors_config.hpp>

#include <string>
#include <vector>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace compressed_tensors_config_test {

using namespace gptq::io;
using gptq::format_error;
using strings = std::vector<std::string>;

namespace {

compressed_config read(const std::string& text) {
    const temp_folder folder;
    folder.write("config.json", R"({"quantization_config":)" + text + "}");
    return read_compressed_config(folder.path());
}

std::string refusal(const std::string& text) {
    const std::string message = message_of<format_error>([&] { (void)read(text); });
    const std::string where = "config.json: quantization_config: ";
    return message.substr(std::min(message.find(where), message.size()) + where.size());
}

/// A configuration of one group with these weights.
std::string with_weights(const std::string& weights) {
    return R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"group_0":
        {"targets":["Linear"],"weights":)" +
           weights + "}}}";
}
std::string refused_weights(const std::string& weights) {
    const std::string message = refusal(with_weights(weights)), where = "config_groups.group_0: weights: ";
    return message.substr(std::min(message.find(where), message.size()) + where.size());
}

}  // namespace

TEST_CASE("what llm-compressor writes is read", "[io]") {
    const auto config = read(R"({"quant_method":"compressed-tensors","format":"pack-quantized",
        "quantization_status":"compressed","global_compression_ratio":null,"kv_cache_scheme":null,"version":"0.9.4",
        "config_groups":{"group_0":{"targets":["Linear"],"input_activations":null,"output_activations":null,
        "weights":{"num_bits":4,"type":"int","symmetric":false,"strategy":"group","group_size":64,"actorder":"static",
        "block_structure":null,"dynamic":false,"observer":"minmax","observer_kwargs":{}}}},
        "ignore":["lm_head","re:.*gate$"],"sparsity_config":{},"transform_config":{}})");
    CHECK(config.bits == 4);
    CHECK(config.group_size == 64);
    CHECK_FALSE(config.sym);
    CHECK(config.order == column_order::static_groups);
    CHECK(config.targets == strings{"Linear"});
    CHECK(config.ignore == strings{"lm_head", "re:.*gate$"});
    CHECK(config.variants.empty());
    CHECK(config.other["version"] == "0.9.4");
    CHECK(to_json(config)["version"] == "0.9.4");
}

TEST_CASE("strategies and orders are read in all their spellings", "[io]") {
    const auto weights = [](const std::string& text) { return read(with_weights(text)); };
    CHECK(weights(R"({"num_bits":8,"strategy":"channel"})").group_size == gptq::per_row);
    CHECK(weights(R"({"num_bits":8,"group_size":-1})").group_size == gptq::per_row);
    CHECK(weights(R"({"num_bits":8,"group_size":32})").group_size == 32);
    CHECK(weights(R"({"num_bits":8,"group_size":32})").sym);
    CHECK(weights(R"({"num_bits":4,"group_size":32,"actorder":null})").order == column_order::natural);
    for (const char* spelling : {"\"static\"", "\"weight\""})
        CHECK(weights(R"({"num_bits":4,"group_size":32,"actorder":)" + std::string(spelling) + "}").order ==
              column_order::static_groups);
    for (const char* spelling : {"\"group\"", "\"dynamic\"", "true"})
        CHECK(weights(R"({"num_bits":4,"group_size":32,"actorder":)" + std::string(spelling) + "}").order ==
              column_order::dynamic_groups);
}

TEST_CASE("several groups of modules are read, and not written", "[io]") {
    const auto config = read(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{
        "group_1":{"targets":["re:.*down_proj"],"weights":{"num_bits":8,"strategy":"channel"}},
        "group_0":{"targets":["Linear"],"weights":{"num_bits":4,"group_size":32,"symmetric":false}}}})");
    CHECK(config.bits == 8);
    CHECK(config.targets == strings{"re:.*down_proj"});
    REQUIRE(config.variants.size() == 1);
    CHECK(config.variants[0].bits == 4);
    CHECK(config.variants[0].group_size == 32);
    CHECK_FALSE(config.variants[0].sym);
    CHECK_THROWS_AS(to_json(config), gptq::option_error);
}

TEST_CASE("compressed-tensors configurations that cannot be are refused with the key and what is possible", "[io]") {
    CHECK(refusal("[]") == "the quantization config is of type array, expected an object");
    CHECK(refusal("{}") == "has no quant_method");
    CHECK(refusal(R"({"quant_method":"compressed-tensors"})") == "has no config_groups");
    CHECK(contains(refusal(R"({"quant_method":"compressed-tensors","format":"float-quantized","config_groups":{}})"),
                   "format is \"float-quantized\", expected \"pack-quantized\""));
    CHECK(refusal(R"({"quant_method":"compressed-tensors","config_groups":{}})") == "config_groups is empty");
    CHECK(refused_weights("{}") == "has no num_bits");
    CHECK(refused_weights(R"({"num_bits":4})") == "has no group_size");
    CHECK(refused_weights(R"({"num_bits":9,"group_size":32})") == "num_bits is 9, expected 2 … 8");
    CHECK(contains(refused_weights(R"({"num_bits":8,"type":"float","group_size":32})"), "type is \"float\""));
    CHECK(contains(refused_weights(R"({"num_bits":4,"group_size":32,"strategy":"channel"})"), "strategy"));
    CHECK(contains(refused_weights(R"({"num_bits":4,"strategy":"block"})"), "expected \"group\" or \"channel\""));
    CHECK(contains(refused_weights(R"({"num_bits":4,"group_size":32,"new":1})"), "has the key 'new'"));
    CHECK(contains(refused_weights(R"({"num_bits":4,"strategy":"channel","actorder":"group"})"), "actorder"));
    const temp_folder folder;
    folder.write("config.json", "{}");
    CHECK(contains(message_of<format_error>([&] { (void)read_compressed_config(folder.path()); }),
                   "the model is not quantized"));
}

TEST_CASE("activations that are quantized too are refused", "[io]") {
    const std::string text = R"({"quant_method":"compressed-tensors","config_groups":{"group_0":{"targets":["Linear"],
        "weights":{"num_bits":4,"group_size":32},"input_activations":{"num_bits":8}}}})";
    CHECK(contains(refusal(text), "input_activations is set: activations are quantized"));
}

TEST_CASE("a compressed-tensors configuration reads back, and the rest of config.json stays", "[io]") {
    const compressed_config config{
        .bits = 8, .group_size = -1, .sym = false, .order = column_order::static_groups, .ignore = {"lm_head"}};
    const temp_folder folder;
    folder.write("config.json", R"({"hidden_size":64,"compression_config":{"format":"old"},"a":null})");
    write_compressed_config(folder.path(), config);
    const auto back = read_compressed_config(folder.path());
    CHECK(back.bits == 8);
    CHECK(back.group_size == gptq::per_row);
    CHECK_FALSE(back.sym);
    CHECK(back.order == column_order::static_groups);
    CHECK(back.ignore == strings{"lm_head"});
    const auto root = nlohmann::json::parse(read_bytes(folder / "config.json"));
    CHECK(root["hidden_size"] == 64);
    CHECK(root.contains("a"));
    CHECK_FALSE(root.contains("compression_config"));
    CHECK(root["quantization_config"]["config_groups"]["group_0"]["weights"]["strategy"] == "channel");
    CHECK_THROWS_AS(to_json(compressed_config{.bits = 1}), gptq::option_error);
    CHECK_THROWS_AS(to_json(compressed_config{.group_size = -1, .order = column_order::dynamic_groups}),
                    gptq::option_error);
}

}  // namespace compressed_tensors_config_test
