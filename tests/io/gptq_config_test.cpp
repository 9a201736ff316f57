#include <gptq/io/gptq_config.hpp>

#include <algorithm>
#include <string>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace gptq_config_test {

using namespace gptq::io;
using gptq::format_error;
using gptq::zero_format;

namespace {

gptq_config read(const std::string& text) {
    const temp_folder folder;
    folder.write("quantize_config.json", text);
    return read_gptq_config(folder.path());
}

std::string refusal(const std::string& text) {
    const std::string message = message_of<format_error>([&] { (void)read(text); });
    const std::string file = "quantize_config.json: ";
    return message.substr(std::min(message.find(file), message.size()) + file.size());
}

nlohmann::ordered_json parsed(const std::string& text) { return nlohmann::ordered_json::parse(text); }

/// A config with one more field.
std::string refusal_with(const std::string& field) { return refusal(R"({"bits":4,"group_size":128,)" + field + "}"); }

void check_equal(const gptq_config& a, const gptq_config& b) {
    CHECK(a.bits == b.bits);
    CHECK(a.group_size == b.group_size);
    CHECK(a.desc_act == b.desc_act);
    CHECK(a.sym == b.sym);
    CHECK(a.zeros == b.zeros);
    CHECK(a.lm_head == b.lm_head);
    CHECK(a.static_groups == b.static_groups);
    CHECK(a.true_sequential == b.true_sequential);
    CHECK(a.damp_percent == b.damp_percent);
    CHECK(a.quantizer == b.quantizer);
    CHECK(std::ranges::equal(a.variants, b.variants, [](const gptq_variant& x, const gptq_variant& y) {
        return x.bits == y.bits && x.group_size == y.group_size;
    }));
    CHECK(a.other == b.other);
}

}  // namespace

TEST_CASE("a full configuration is read field by field", "[io]") {
    const auto config = read(R"({"quant_method":"gptq","bits":3,"group_size":-1,"desc_act":true,"sym":false,
        "checkpoint_format":"gptq_v2","lm_head":true,"static_groups":true,"true_sequential":true,"damp_percent":0.05,
        "pack_dtype":"int32","meta":{"quantizer":["optimum:1.24","gptqmodel:2.2"],"uri":"x"},"dynamic":{"-:.*head":{}},
        "model_name_or_path":null,"dataset":["a"]})");
    check_equal(config, {.bits = 3,
                         .group_size = -1,
                         .desc_act = true,
                         .sym = false,
                         .zeros = zero_format::v2,
                         .lm_head = true,
                         .static_groups = true,
                         .true_sequential = true,
                         .damp_percent = 0.05,
                         .quantizer = {"optimum:1.24", "gptqmodel:2.2"},
                         .other = parsed(R"({"dynamic":{"-:.*head":{}},"model_name_or_path":null,"dataset":["a"],
                                             "meta":{"uri":"x"}})")});
}

TEST_CASE("what an old or short configuration leaves out has the usual value", "[io]") {
    const gptq_config usual{.bits = 4, .group_size = 128, .quantizer = {}};
    check_equal(read(R"({"bits":4,"group_size":128})"), usual);
    check_equal(read(R"({"bits":4,"group_size":128,"desc_act":null,"sym":null,"format":null})"), usual);
    CHECK_FALSE(usual.desc_act);
    CHECK(usual.sym);
    CHECK(usual.zeros == zero_format::v1);
}

TEST_CASE("the spellings of all quantizers are understood", "[io]") {
    CHECK(read(R"({"w_bit":2,"q_group_size":64})").bits == 2);
    CHECK(read(R"({"w_bit":2,"q_group_size":64})").group_size == 64);
    CHECK(read(R"({"wbits":8,"group_size":64})").bits == 8);
    const auto with = [](const std::string& field) { return read(R"({"bits":4,"group_size":128,)" + field + "}"); };
    CHECK(with(R"("format":"gptq_v2")").zeros == zero_format::v2);
    CHECK(with(R"("version":"gptq_v2")").zeros == zero_format::v2);
    CHECK(with(R"("checkpoint_format":"gptq","format":"gptq_v2")").zeros == zero_format::v1);
    CHECK_FALSE(with(R"("zero_point":true)").sym);
    CHECK(with(R"("zero_point":false)").sym);
    CHECK(with(R"("zero_point":true,"sym":true)").sym);
    CHECK(with(R"("method":"gptq")").bits == 4);
    CHECK(with(R"("meta":{"quantizer":"gptqmodel:1"})").quantizer == std::vector<std::string>{"gptqmodel:1"});
    CHECK(with(R"("meta":{})").quantizer.empty());
}

TEST_CASE("a folder's own file is believed before its config.json", "[io]") {
    const temp_folder folder;
    CHECK_FALSE(find_gptq_config(folder.path()));
    folder.write("config.json", R"({"hidden_size":64})");
    CHECK_FALSE(find_gptq_config(folder.path()));
    CHECK(contains(message_of<format_error>([&] { (void)read_gptq_config(folder.path()); }),
                   folder.path().string() + ": is no GPTQ model"));
    folder.write("config.json", R"({"quantization_config":null})");
    CHECK_FALSE(find_gptq_config(folder.path()));
    folder.write("config.json", R"({"quantization_config":{"bits":2,"group_size":128}})");
    CHECK(read_gptq_config(folder.path()).bits == 2);
    folder.write("quant_config.json", R"({"bits":3,"group_size":128})");
    CHECK(read_gptq_config(folder.path()).bits == 3);
    folder.write("quantize_config.json", R"({"bits":8,"group_size":128})");
    CHECK(read_gptq_config(folder.path()).bits == 8);
}

TEST_CASE("configurations that cannot be are refused with the key, the value and what is possible", "[io]") {
    CHECK(refusal("") == "not JSON at byte 0");
    CHECK(refusal("[]") == "the quantization config is of type array, expected an object");
    CHECK(refusal(R"({"group_size":128})") == "has no bits");
    CHECK(refusal(R"({"bits":null,"group_size":128})") == "has no bits");
    CHECK(refusal(R"({"bits":4})") == "has no group_size");
    for (const char* bits : {"0", "1", "5", "16", "-4", "4294967300"})
        CHECK(refusal(R"({"group_size":128,"bits":)" + std::string(bits) + "}") ==
              "bits is " + std::string(bits) + ", expected 2, 3, 4 or 8");
    CHECK(refusal(R"({"w_bit":"4","group_size":128})") == "w_bit is \"4\", expected a whole number");
    for (const char* size : {"0", "-2", "-9223372036854775808"})
        CHECK(refusal(R"({"bits":4,"group_size":)" + std::string(size) + "}") ==
              "group_size is " + std::string(size) + ", expected -1 (whole row) or at least 1");
    CHECK(refusal(R"({"bits":4,"group_size":128.0})") == "group_size is 128.0, expected a whole number");
    CHECK(refusal(R"({"bits":4,"bits":4,"group_size":128})") == "JSON has the key 'bits' twice");
    CHECK(refusal_with(R"("desc_act":1)") == "desc_act is 1, expected true or false");
    CHECK(refusal_with(R"("sym":"true")") == "sym is \"true\", expected true or false");
    CHECK(refusal_with(R"("damp_percent":"0.1")") == "damp_percent is \"0.1\", expected a number");
    CHECK(refusal_with(R"("meta":3)") == "meta is 3, expected an object");
    CHECK(refusal_with(R"("meta":{"quantizer":[3]})") == "meta.quantizer is 3, expected a string");
    CHECK(refusal_with(R"("meta":{"quantizer":3})") == "meta.quantizer is 3, expected an array of strings");
}

TEST_CASE("other methods and layouts are refused by name", "[io]") {
    CHECK(refusal_with(R"("quant_method":"awq")") ==
          "quant_method is \"awq\", expected \"gptq\", the only method that is read here");
    CHECK(contains(refusal_with(R"("checkpoint_format":"marlin")"),
                   "checkpoint_format is \"marlin\", expected \"gptq\" or \"gptq_v2\""));
    CHECK(contains(refusal_with(R"("version":"GEMM")"), "version is \"GEMM\""));
    CHECK(contains(refusal_with(R"("pack_dtype":"int8")"), "pack_dtype is \"int8\", expected \"int32\""));
    const temp_folder folder;
    folder.write("config.json", R"({"quantization_config":{"quant_method":"bitsandbytes"}})");
    CHECK(contains(message_of<format_error>([&] { (void)find_gptq_config(folder.path()); }),
                   "config.json: quantization_config: quant_method is \"bitsandbytes\""));
}

TEST_CASE("a configuration is written for all loaders", "[io]") {
    CHECK(this_quantizer() == "gptq:" + std::string(gptq::version_string));
    const auto object =
        to_json({.bits = 4, .group_size = 64, .sym = false, .zeros = zero_format::v2, .quantizer = {"gptq:1.2.3"}});
    CHECK(object == parsed(R"({"quant_method":"gptq","bits":4,"group_size":64,"desc_act":false,
        "sym":false,"checkpoint_format":"gptq_v2","format":"gptq_v2","lm_head":false,"true_sequential":false,
        "static_groups":false,"pack_dtype":"int32","meta":{"quantizer":["gptq:1.2.3"]},"damp_percent":0.01})"));
    CHECK(to_json({})["checkpoint_format"] == "gptq");
    CHECK_FALSE(to_json({.damp_percent = 0}).contains("damp_percent"));
    CHECK_THROWS_AS(to_json({.bits = 5}), gptq::option_error);
    CHECK_THROWS_AS(to_json({.group_size = 0}), gptq::option_error);
}

TEST_CASE("a written configuration is in both places and reads back", "[io]") {
    const gptq_config config{
        .bits = 8, .group_size = 32, .desc_act = true, .static_groups = true, .damp_percent = 0.02};
    const temp_folder folder;
    write_gptq_config(folder.path(), config);
    CHECK_FALSE(std::filesystem::exists(folder / "config.json"));
    check_equal(read_gptq_config(folder.path()), config);

    folder.write("config.json", R"({"hidden_size":64,"rms_norm_eps":1e-05,"quantization_config":{"bits":2}})");
    write_gptq_config(folder.path(), config);
    std::filesystem::remove(folder / "quantize_config.json");
    check_equal(read_gptq_config(folder.path()), config);
    const auto root = nlohmann::json::parse(read_bytes(folder / "config.json"));
    CHECK(root["hidden_size"] == 64);
    CHECK(root["rms_norm_eps"] == 1e-05);
    CHECK(root.size() == 3);
}

TEST_CASE("what means nothing here is written as it was read, in its order", "[io]") {
    const std::string text = R"({"quant_method":"gptq","bits":4,"group_size":32,"zeta":null,"alpha":[1,{"b":2,"a":1}],
        "dynamic":{"+:.*z.*":{"bits":8},"-:.*a.*":{}},"meta":{"uri":"x","quantizer":["gptqmodel:4.0.0"],"mse":0.0}})";
    const gptq_config config = read(text);
    const auto written = to_json(config);
    CHECK(written["zeta"].is_null());
    CHECK(written["alpha"].dump() == R"([1,{"b":2,"a":1}])");
    CHECK(written["dynamic"].dump() == R"({"+:.*z.*":{"bits":8},"-:.*a.*":{}})");
    CHECK(written["meta"].dump() == R"({"quantizer":["gptqmodel:4.0.0"],"uri":"x","mse":0.0})");
    check_equal(read(written.dump()), config);

    const temp_folder folder;
    folder.write("config.json", R"({"z":1,"compression_config":{"bits":2},"a":{"y":1,"b":2}})");
    write_gptq_config(folder.path(), config);
    const auto root = parsed(read_bytes(folder / "config.json"));
    CHECK(root["quantization_config"] == written);
    CHECK(root.begin().key() == "z");
    CHECK_FALSE(root.contains("compression_config"));
    CHECK_THROWS_AS(to_json({.other = 3}), gptq::option_error);
}

TEST_CASE("a key that has a meaning is never taken from what is kept", "[io]") {
    gptq_config config;
    config.other = parsed(R"({"bits":8,"meta":{"quantizer":["x"]},"new":1})");
    CHECK(to_json(config)["bits"] == 4);
    CHECK(to_json(config)["meta"]["quantizer"][0] == this_quantizer());
    CHECK(to_json(config)["new"] == 1);
}

TEST_CASE("settings of their own for some modules are read", "[io]") {
    const auto config = read(R"({"bits":4,"group_size":128,"dynamic":{"-:.*a.*":{},"+:.*b.*":{"bits":8},
        ".*c.*":{"group_size":32,"desc_act":true}}})");
    REQUIRE(config.variants.size() == 2);
    CHECK(config.variants[0].bits == 8);
    CHECK(config.variants[0].group_size == 128);
    CHECK(config.variants[1].bits == 4);
    CHECK(config.variants[1].group_size == 32);
    CHECK(refusal_with(R"("dynamic":{"+:.*b.*":{"bits":5}})") == "dynamic '+:.*b.*': bits is 5, expected 2, 3, 4 or 8");
    CHECK(refusal_with(R"("dynamic":{"+:.*b.*":3})") == "dynamic '+:.*b.*': its value is 3, expected an object");
    CHECK(refusal_with(R"("dynamic":[])") == "dynamic is of type array, expected an object");
}

TEST_CASE("a configuration with any byte changed reads, or is refused as it should be", "[io]") {
    const std::string text = to_json({}).dump();
    const auto survives = [](const std::string& bytes) {
        try {
            check(impl::parse_gptq_config(impl::parse_json<impl::ordered_json>(bytes, "f"), "f"));
        } catch (const format_error&) {
        }  // another exception fails the test
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        for (const char byte : {'\0', ' ', '"', '{', '}', '-', '9', 'e', '\xFF'}) {
            std::string changed = text;
            changed[i] = byte;
            survives(changed);
        }
        survives(text.substr(0, i));
    }
}

}  // namespace gptq_config_test
