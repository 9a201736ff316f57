// Loading a module: the worked example byte by byte, what old checkpoints leave out, and what is refused.
#include <gptq/io/gptq_load.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gptq/io/model_files.hpp>
#include <gptq/io/safetensors.hpp>
#include <gptq/io/safetensors_writer.hpp>

#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace gptq_load_test {

using namespace gptq::io;
using gptq::format_error;
using gptq::packed_linear;
using gptq::zero_format;
using words = std::vector<std::uint32_t>;

namespace {

struct contents {
    dtype type;
    std::vector<std::size_t> shape;
    std::string bytes;
};
using module = std::map<std::string, contents>;  // "qweight" → …

// The worked module of docs/formats.md: 8 x 8, 4 bits, one group, scale 0.5, code (i + o) mod 16.
const gptq_config worked_config{.bits = 4, .group_size = 8, .quantizer = {}};
const words worked_qweight = {0x76543210, 0x87654321, 0x98765432, 0xA9876543,
                              0xBA987654, 0xCBA98765, 0xDCBA9876, 0xEDCBA987};

module worked_module() {
    std::string halves;
    for (int o = 0; o < 8; ++o) halves += std::string("\x00\x38", 2);
    return {{"qweight", {dtype::I32, {1, 8}, bytes_of(worked_qweight)}},
            {"qzeros", {dtype::I32, {1, 1}, std::string(4, '\x77')}},
            {"scales", {dtype::F16, {1, 8}, halves}},
            {"g_idx", {dtype::I32, {8}, std::string(32, '\0')}}};
}

std::filesystem::path write_module(const temp_folder& folder, const module& tensors) {
    std::vector<tensor_declaration> declared;
    for (const auto& [suffix, tensor] : tensors) declared.push_back({"m." + suffix, tensor.type, tensor.shape});
    safetensors_writer writer(folder / "model.safetensors", declared);
    for (const auto& [suffix, tensor] : tensors) writer.write("m." + suffix, as_bytes(tensor.bytes));
    writer.finish();
    return folder / "model.safetensors";
}

packed_linear load(const module& tensors, const gptq_config& config = worked_config) {
    const temp_folder folder;
    return load_gptq(safetensors::open(write_module(folder, tensors)), "m", config);
}

/// What is said to the worked module after `spoil`; checked to name file and tensor.
std::string refusal(const std::string& tensor, const std::function<void(module&)>& spoil,
                    const gptq_config& config = worked_config) {
    module tensors = worked_module();
    spoil(tensors);
    const std::string message = message_of<format_error>([&] { (void)load(tensors, config); });
    const std::string where = "model.safetensors: tensor 'm." + tensor + "': ";
    CAPTURE(message);
    CHECK(contains(message, where));
    return message.substr(std::min(message.find(where), message.size()) + where.size());
}

std::string int32s(const std::vector<std::int32_t>& values) { return bytes_of(values); }

}  // namespace

TEST_CASE("the documented module is loaded as documented", "[io]") {
    const packed_linear p = load(worked_module());
    CHECK(p.out_features == 8);
    CHECK(p.in_features == 8);
    CHECK(p.groups == 1);
    CHECK(p.bits == 4);
    CHECK(p.zeros == zero_format::v1);
    CHECK(p.stored_scales == gptq::scale_type::f16);
    CHECK(p.qweight == worked_qweight);
    CHECK(p.qzeros == words{0x77777777});
    CHECK(p.scales == std::vector<float>(8, 0.5F));
    CHECK(p.g_idx == std::vector<std::int32_t>(8));
    CHECK(p.bias.empty());
    CHECK(value_at(p, 0, 0) == -4.0F);
    CHECK(value_at(p, 7, 7) == 3.0F);
}

TEST_CASE("the same module in v2 means the same weights", "[io]") {
    module tensors = worked_module();
    tensors["qzeros"].bytes = std::string(4, '\x88');
    gptq_config config = worked_config;
    config.zeros = zero_format::v2;
    const packed_linear p = load(tensors, config);
    CHECK(p.zeros == zero_format::v2);
    CHECK(value_at(p, 0, 0) == -4.0F);
    CHECK(value_at(p, 7, 7) == 3.0F);
}

TEST_CASE("a module is loaded from a model folder too", "[io]") {
    const temp_folder folder;
    write_module(folder, worked_module());
    CHECK(load_gptq(model_files::open(folder.path()), "m", worked_config).qweight == worked_qweight);
}

TEST_CASE("scales and bias of any float type are loaded", "[io]") {
    module tensors = worked_module();
    tensors["scales"] = {dtype::F32, {1, 8}, bytes_of(std::vector<float>(8, 0.1F))};
    tensors["bias"] = {dtype::F64, {8}, bytes_of(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8})};
    const packed_linear p = load(tensors);
    CHECK(p.stored_scales == gptq::scale_type::f32);
    CHECK(p.scales == std::vector<float>(8, 0.1F));
    CHECK(p.bias == std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});

    tensors["scales"] = {dtype::BF16, {1, 8}, bytes_of(std::vector<std::uint16_t>(8, 0x3F00))};
    CHECK(load(tensors).stored_scales == gptq::scale_type::bf16);
    CHECK(load(tensors).scales == std::vector<float>(8, 0.5F));
}

namespace {

/// The worked module in two groups of four columns, with this g_idx.
module two_groups(const std::vector<std::int32_t>& g_idx) {
    module tensors = worked_module();
    tensors["qzeros"] = {dtype::I32, {2, 1}, std::string(8, '\x77')};
    tensors["scales"] = {dtype::F16, {2, 8}, tensors["scales"].bytes + tensors["scales"].bytes};
    tensors["g_idx"].bytes = int32s(g_idx);
    return tensors;
}

const gptq_config groups_of_4{.bits = 4, .group_size = 4, .quantizer = {}};

}  // namespace

TEST_CASE("act-order's groups come from g_idx, in which negative numbers count from the end", "[io]") {
    CHECK(load(two_groups({0, 1, 0, 1, 1, 0, 0, 1}), groups_of_4).g_idx ==
          std::vector<std::int32_t>{0, 1, 0, 1, 1, 0, 0, 1});
    CHECK(load(two_groups({0, -1, -2, 1, 1, 0, 0, 1}), groups_of_4).g_idx ==
          std::vector<std::int32_t>{0, 1, 0, 1, 1, 0, 0, 1});
}

TEST_CASE("without g_idx the groups are consecutive columns", "[io]") {
    module tensors = two_groups({0, 0, 0, 0, 0, 0, 0, 0});
    tensors.erase("g_idx");
    CHECK(load(tensors, groups_of_4).g_idx == std::vector<std::int32_t>{0, 0, 0, 0, 1, 1, 1, 1});
    gptq_config act_order = groups_of_4;
    act_order.desc_act = true;
    CHECK(contains(message_of<format_error>([&] { (void)load(tensors, act_order); }), "its module has no g_idx"));
    act_order.static_groups = true;
    CHECK(load(tensors, act_order).g_idx == std::vector<std::int32_t>{0, 0, 0, 0, 1, 1, 1, 1});

    module one_group = worked_module();
    one_group.erase("g_idx");
    gptq_config row = worked_config;
    row.group_size = gptq::per_row;
    row.desc_act = true;
    CHECK(load(one_group, row).g_idx == std::vector<std::int32_t>(8, 0));
}

TEST_CASE("zero points of 0 that borrowed from their neighbour come back when the writer is known", "[io]") {
    module tensors = worked_module();
    tensors["qzeros"].bytes = bytes_of(words{0x7777776F});  // zero points 0 8 8 8 8 8 8 8, made in one subtraction
    gptq_config config = worked_config;
    config.quantizer = {"gptqmodel:2.0.0"};
    const packed_linear p = load(tensors, config);
    CHECK(p.zeros == zero_format::v2);
    CHECK(p.qzeros == words{0x88888880});
    CHECK(zero_at(p, 0, 0) == 0);
    CHECK(zero_at(p, 1, 0) == 8);

    CHECK(load(worked_module(), config).zeros == zero_format::v1);  // no zero point of 0: as it is in the file
}

TEST_CASE("a zero point of all ones is refused in v1 where nobody knows what its writer meant", "[io]") {
    const std::string ones = bytes_of(words{0x77F77777});
    const std::string message = refusal("qzeros", [&](module& m) { m["qzeros"].bytes = ones; });
    CHECK(contains(message, "the zero point of output 5, group 0 is stored as 15"));
    CHECK(contains(message, "0 or for 16"));
    CHECK(contains(message, "gptq_v2"));

    module tensors = worked_module();
    tensors["qzeros"].bytes = ones;
    gptq_config config = worked_config;
    config.all_ones_are_zero = true;
    const packed_linear p = load(tensors, config);
    CHECK(p.zeros == zero_format::v1);
    CHECK(zero_at(p, 5, 0) == 0);
    CHECK(zero_at(p, 6, 0) == 8);
    config.all_ones_are_zero = false;
    config.zeros = zero_format::v2;  // where it is the zero point 15
    CHECK(zero_at(load(tensors, config), 5, 0) == 15);
}

TEST_CASE("GPTQModel's 3-bit zero points of 0 are fields of their own", "[io]") {
    // 3 bits, 8 inputs and outputs: codes 0; zero points 0 4 4 4 4 4 4 4, each stored less 1 modulo 8.
    module tensors = worked_module();
    tensors["qweight"].bytes = bytes_of(words(8, 0));
    tensors["qzeros"].bytes = bytes_of(words{0x00DB6DB6 | 7});
    gptq_config config = worked_config;
    config.bits = 3;
    CHECK_THROWS_AS(load(tensors, config), format_error);
    config.quantizer = {"optimum:1.24", "gptqmodel:2.0.0"};
    const packed_linear p = load(tensors, config);
    CHECK(zero_at(p, 0, 0) == 0);
    for (std::size_t o = 1; o < 8; ++o) CHECK(zero_at(p, o, 0) != 0);
}

TEST_CASE("codes stay where the file is mapped", "[io]") {
    const temp_folder folder;
    const auto file = safetensors::open(write_module(folder, worked_module()));
    const packed_linear p = load_gptq(file, "m", worked_config);
    const bool in_place = static_cast<const void*>(p.qweight.data()) == file.at("m.qweight").bytes.data();
    CHECK(in_place == gptq::impl::is_little_endian);
    const packed_linear copy = p;
    CHECK(copy.qweight.data() == p.qweight.data());
}

TEST_CASE("a layer keeps the file that it reads from", "[io]") {
    const temp_folder folder;
    const packed_linear p = load_gptq(safetensors::open(write_module(folder, worked_module())), "m", worked_config);
    std::filesystem::remove(folder / "model.safetensors");
    CHECK(p.qweight == worked_qweight);
}

TEST_CASE("in a mixed checkpoint the tensors tell which settings a module has", "[io]") {
    gptq_config config{.bits = 8, .group_size = 4, .quantizer = {}};
    config.variants = {{.bits = 8, .group_size = 8}, {.bits = 4, .group_size = 8}};
    const packed_linear p = load(worked_module(), config);
    CHECK(p.bits == 4);
    CHECK(p.groups == 1);
    CHECK(p.qweight == worked_qweight);
    const temp_folder folder;
    const auto file = safetensors::open(write_module(folder, worked_module()));
    CHECK(config_of(file, "m", config).bits == 4);
    CHECK(config_of(file, "m", config).group_size == 8);
    config.variants.pop_back();
    CHECK_THROWS_AS(load_gptq(file, "m", config), format_error);
}

TEST_CASE("a module that lacks a tensor is refused", "[io]") {
    for (const char* suffix : {"qweight", "qzeros", "scales"}) {
        module tensors = worked_module();
        tensors.erase(suffix);
        CHECK(contains(message_of<format_error>([&] { (void)load(tensors); }),
                       "model.safetensors: has no tensor 'm." + std::string(suffix) + "'"));
    }
}

TEST_CASE("a tensor of another type is refused", "[io]") {
    for (const char* suffix : {"qweight", "qzeros", "g_idx"})
        CHECK(refusal(suffix, [&](module& m) { m[suffix].type = dtype::F32; }) == "is F32, expected I32");
    CHECK(refusal("scales", [](module& m) { m["scales"].type = dtype::I16; }) == "is I16, expected F16, BF16 or F32");
    CHECK(refusal("bias", [](module& m) {
              m["bias"] = {dtype::I32, {8}, std::string(32, '\0')};
          }) == "is I32, expected F16, BF16, F32 or F64");
}

TEST_CASE("a tensor of another shape is refused with all that the shape follows from", "[io]") {
    const std::string why = " (8 outputs, 8 inputs, 4 bits, group size 8)";
    CHECK(refusal("qweight", [](module& m) { m["qweight"].shape = {8}; }) == "shape is [8], expected 2 axes");
    CHECK(refusal("qzeros", [](module& m) { m["qzeros"].shape = {1}; }) == "shape is [1], expected 2 axes");
    CHECK(refusal("scales", [](module& m) { m["scales"].shape = {1, 8, 1}; }) == "shape is [1, 8, 1], expected 2 axes");
    CHECK(refusal("g_idx", [](module& m) { m["g_idx"].shape = {1, 8}; }) == "shape is [1, 8], expected 1 axis");
    CHECK(refusal("qweight", [](module& m) { m["qweight"] = {dtype::I32, {0, 8}, ""}; }) == "is empty");
    CHECK(refusal("qweight", [](module& m) { m["qweight"] = {dtype::I32, {1, 0}, ""}; }) == "is empty");
    CHECK(refusal("qweight", [](module& m) {
              m["qweight"] = {dtype::I32, {2, 8}, std::string(64, '\0')};
          }) == "shape is [2, 8], expected [1, 8]" + why);
    CHECK(refusal("qzeros", [](module& m) {
              m["qzeros"] = {dtype::I32, {1, 2}, std::string(8, '\0')};
          }) == "shape is [1, 2], expected [1, 1]" + why);
    CHECK(refusal("scales", [](module& m) { m["scales"].shape = {8, 1}; }) == "shape is [8, 1], expected [1, 8]" + why);
    CHECK(refusal("bias", [](module& m) {
              m["bias"] = {dtype::F16, {7}, std::string(14, '\0')};
          }) == "shape is [7], expected [8]" + why);
    CHECK(refusal("qweight", [](module& m) {
              m["g_idx"] = {dtype::I32, {9}, std::string(36, '\0')};
          }) == "shape is [1, 8], expected [2, 8] (8 outputs, 9 inputs, 4 bits, group size 8)");
    CHECK(refusal("qweight", [](module& m) {
              m["g_idx"] = {dtype::I32, {0}, ""};
          }) == "shape is [1, 8], expected [0, 8] (8 outputs, 0 inputs, 4 bits, group size 8)");
}

TEST_CASE("a configuration that is not that of the tensors shows", "[io]") {
    const auto nothing = [](module&) {};
    CHECK(refusal("qweight", nothing, {.bits = 8, .group_size = 8}) ==
          "shape is [1, 8], expected [2, 8] (8 outputs, 8 inputs, 8 bits, group size 8)");
    CHECK(refusal("qzeros", nothing, {.bits = 4, .group_size = 4}) ==
          "shape is [1, 1], expected [2, 1] (8 outputs, 8 inputs, 4 bits, group size 4)");
    CHECK_THROWS_AS(load(worked_module(), {.bits = 5}), gptq::option_error);
    CHECK_THROWS_AS(load(worked_module(), {.group_size = -2}), gptq::option_error);
}

TEST_CASE("g_idx outside of the groups is refused", "[io]") {
    const auto with = [](std::int32_t group) {
        return [group](module& m) { m["g_idx"].bytes = int32s({0, 0, 0, group, 0, 0, 0, 0}); };
    };
    CHECK(refusal("g_idx", with(1)) == "element 3 is 1, expected -1 … 0");
    CHECK(refusal("g_idx", with(-2)) == "element 3 is -2, expected -1 … 0");
    CHECK(refusal("g_idx", with(INT32_MIN)) == "element 3 is -2147483648, expected -1 … 0");
}

TEST_CASE("a scale that is not finite is refused", "[io]") {
    CHECK(contains(refusal("scales", [](module& m) { m["scales"].bytes[5] = '\x7C'; }),
                   "scale of group 0, output 2 is not finite"));
}

TEST_CASE("a module with any byte of its file changed loads or is refused as it should be", "[io]") {
    const temp_folder folder;
    const std::string bytes = read_bytes(write_module(folder, worked_module()));
    const auto survives = [&folder](const std::string& changed) {
        const auto path = folder.write("changed.safetensors", changed);
        try {
            (void)load_gptq(safetensors::open(path), "m", worked_config);
        } catch (const format_error&) {
        }  // another exception fails the test
    };
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        for (const unsigned bit : {0U, 4U, 7U}) {
            std::string changed = bytes;
            changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
            survives(changed);
        }
        survives(bytes.substr(0, i));
    }
}

}  // namespace gptq_load_test
