#include <gptq/io/awq_config.hpp>

#include <string>
#include <vector>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace awq_config_test {

using namespace gptq::io;
using gptq::format_error;
using strings = std::vector<std::string>;

namespace {

awq_config read(const std::string& text) {
    const temp_folder folder;
    folder.write("quant_config.json", text);
    return read_awq_config(folder.path());
}

std::string refusal(const std::string& text) {
    const std::string message = message_of<format_error>([&] { (void)read(text); });
    const std::string file = "quant_config.json: ";
    return message.substr(std::min(message.find(file), message.size()) + file.size());
}

/// A config with one more field.
std::string refusal_with(const std::string& field) {
    return refusal(R"({"w_bit":4,"q_group_size":128,)" + field + "}");
}

void check_equal(const awq_config& a, const awq_config& b) {
    CHECK(a.group_size == b.group_size);
    CHECK(a.sym == b.sym);
    CHECK(a.modules_to_not_convert == b.modules_to_not_convert);
    CHECK(a.other == b.other);
}

}  // namespace

TEST_CASE("AWQ's own configuration is read", "[io]") {
    check_equal(read(R"({"zero_point":true,"q_group_size":64,"w_bit":4,"version":"GEMM"})"), {.group_size = 64});
    check_equal(
        read(R"({"zero_point":false,"q_group_size":-1,"w_bit":4,"version":"GEMM","modules_to_not_convert":["gate"]})"),
        {.group_size = -1, .sym = true, .modules_to_not_convert = {"gate"}});
}

TEST_CASE("what quantizers write to config.json is read", "[io]") {
    const temp_folder folder;
    folder.write("config.json", R"({"architectures":["LlamaForCausalLM"],"quantization_config":{"bits":4,
        "group_size":128,"modules_to_not_convert":null,"quant_method":"awq","version":"gemm","zero_point":true,
        "backend":"auto","do_fuse":false,"exllama_config":null}})");
    const awq_config config = read_awq_config(folder.path());
    check_equal(
        config,
        {.other = nlohmann::ordered_json::parse(R"({"backend":"auto","do_fuse":false,"exllama_config":null})")});
    CHECK(to_json(config)["backend"] == "auto");
    CHECK(to_json(config)["exllama_config"].is_null());
}

TEST_CASE("what an AWQ configuration leaves out has the usual value", "[io]") {
    check_equal(read(R"({"bits":4,"group_size":128})"), {});
    CHECK_FALSE(awq_config{}.sym);
}

TEST_CASE("AWQ configurations that cannot be are refused with the key, the value and what is possible", "[io]") {
    CHECK(refusal("[]") == "the quantization config is of type array, expected an object");
    CHECK(refusal(R"({"q_group_size":128})") == "has no bits");
    CHECK(refusal(R"({"w_bit":4})") == "has no group_size");
    CHECK(refusal(R"({"w_bit":3,"q_group_size":128})") == "w_bit is 3, expected 4");
    CHECK(refusal(R"({"w_bit":4,"q_group_size":0})") == "q_group_size is 0, expected -1 (whole row) or at least 1");
    CHECK(refusal_with(R"("quant_method":"gptq")") == "quant_method is \"gptq\", expected \"awq\"");
    CHECK(refusal_with(R"("version":"GEMV")") ==
          "version is \"GEMV\", expected \"gemm\", the only layout of AWQ's that is read here");
    CHECK(refusal_with(R"("version":3)") == "version is 3, expected a string");
    CHECK(refusal_with(R"("zero_point":1)") == "zero_point is 1, expected true or false");
    CHECK(refusal_with(R"("modules_to_not_convert":"gate")") ==
          "modules_to_not_convert is \"gate\", expected an array of strings");
    CHECK(refusal_with(R"("modules_to_not_convert":[1])") == "modules_to_not_convert is 1, expected a string");
    const temp_folder folder;
    CHECK(contains(message_of<format_error>([&] { (void)read_awq_config(folder.path()); }),
                   folder.path().string() + ": is no AWQ model"));
}

TEST_CASE("an AWQ configuration is written in both spellings, and each reads back", "[io]") {
    const awq_config config{.group_size = 32, .modules_to_not_convert = {"lm_head", "gate"}};
    const temp_folder folder;
    folder.write("config.json", R"({"hidden_size":64})");
    write_awq_config(folder.path(), config);
    CHECK(nlohmann::ordered_json::parse(read_bytes(folder / "quant_config.json")) ==
          nlohmann::ordered_json::parse(R"({"w_bit":4,"q_group_size":32,"zero_point":true,"version":"GEMM",
                                    "modules_to_not_convert":["lm_head","gate"]})"));
    check_equal(read_awq_config(folder.path()), config);
    std::filesystem::remove(folder / "quant_config.json");
    check_equal(read_awq_config(folder.path()), config);
    CHECK(nlohmann::ordered_json::parse(read_bytes(folder / "config.json"))["hidden_size"] == 64);
    CHECK(to_json(awq_config{.sym = true}) ==
          nlohmann::ordered_json::parse(
              R"({"quant_method":"awq","bits":4,"group_size":128,"zero_point":false,"version":"gemm",
                                    "modules_to_not_convert":null})"));
    CHECK_THROWS_AS(to_json(awq_config{.group_size = 0}), gptq::option_error);
}

}  // namespace awq_config_test
