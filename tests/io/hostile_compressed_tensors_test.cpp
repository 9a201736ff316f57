// What is refused of a compressed-tensors module: file, tensor, what it is and what was expected.
#include <gptq/io/compressed_tensors_load.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gptq/io/safetensors.hpp>

#include "io/module_file.hpp"
#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace hostile_compressed_tensors_test {

using namespace gptq::io;
using gptq::compressed_linear;

namespace {

std::string shape_bytes(std::int64_t out, std::int64_t in) { return bytes_of(std::vector<std::int64_t>{out, in}); }
std::string words(std::size_t count) { return std::string(4 * count, '\x35'); }
std::string halves(std::size_t count) { return bytes_of(std::vector<std::uint16_t>(count, 0x3800)); }

const compressed_config asymmetric{.group_size = 8, .sym = false};
const compressed_config act_order{.group_size = 8, .sym = false, .order = column_order::dynamic_groups};

/// 5 x 16, 4 bits, two groups of 8 inputs, asymmetric.
module_contents good_module() {
    return {{"weight_packed", {dtype::I32, {5, 2}, words(10)}},
            {"weight_scale", {dtype::F16, {5, 2}, halves(10)}},
            {"weight_shape", {dtype::I64, {2}, shape_bytes(5, 16)}},
            {"weight_zero_point", {dtype::I32, {1, 2}, words(2)}}};
}

tensor_contents g_idx(std::int32_t third) {
    return {dtype::I32, {16}, bytes_of(std::vector<std::int32_t>{0, 1, third, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1})};
}

compressed_linear load(const module_contents& tensors, const compressed_config& config) {
    const temp_folder folder;
    return load_compressed(safetensors::open(write_module(folder, tensors)), "m", config);
}

/// What is said to the module after `spoil`; checked to name file and tensor.
std::string refusal(const std::string& tensor, const std::function<void(module_contents&)>& spoil,
                    const compressed_config& config = asymmetric) {
    module_contents tensors = good_module();
    spoil(tensors);
    return refusal_of(tensor, [&] { (void)load(tensors, config); });
}

std::string refusal_of_shape(std::int64_t out, std::int64_t in, const compressed_config& config = asymmetric) {
    return refusal(
        "weight_shape", [=](module_contents& m) { m["weight_shape"].bytes = shape_bytes(out, in); }, config);
}

void nothing(module_contents&) {}

}  // namespace

TEST_CASE("a compressed-tensors module that lacks a tensor, or has one too many, is refused", "[io]") {
    REQUIRE(load(good_module(), asymmetric).groups == 2);
    for (const char* suffix : {"weight_packed", "weight_scale", "weight_shape"}) {
        module_contents tensors = good_module();
        tensors.erase(suffix);
        CHECK(contains(message_of<gptq::format_error>([&] { (void)load(tensors, asymmetric); }),
                       "model.safetensors: has no tensor 'm." + std::string(suffix) + "'"));
    }
    CHECK(refusal("weight_packed", [](module_contents& m) { m.erase("weight_zero_point"); }) ==
          "its module has no weight_zero_point, but the configuration says asymmetric");
    CHECK(refusal("weight_zero_point", nothing, {.group_size = 8}) == "is there, but the configuration says symmetric");
    CHECK(refusal("weight_packed", nothing, act_order) ==
          "its module has no weight_g_idx, but the configuration says actorder group");
}

TEST_CASE("a compressed-tensors tensor of another type is refused", "[io]") {
    for (const char* suffix : {"weight_packed", "weight_zero_point"})
        CHECK(refusal(suffix, [&](module_contents& m) { m[suffix].type = dtype::F32; }) == "is F32, expected I32");
    CHECK(refusal("weight_shape", [](module_contents& m) { m["weight_shape"].type = dtype::F64; }) ==
          "is F64, expected I64");
    CHECK(refusal("weight_scale", [](module_contents& m) { m["weight_scale"].type = dtype::I16; }) ==
          "is I16, expected F16, BF16 or F32");
    CHECK(refusal("bias", [](module_contents& m) {
              m["bias"] = {dtype::I32, {5}, words(5)};
          }) == "is I32, expected F16, BF16, F32 or F64");
}

TEST_CASE("a compressed-tensors tensor of another shape is refused with all that the shape follows from", "[io]") {
    const std::string why = " (5 outputs, 16 inputs, 4 bits, group size 8)";
    CHECK(refusal("weight_packed", [](module_contents& m) { m["weight_packed"].shape = {10}; }) ==
          "shape is [10], expected 2 axes");
    CHECK(refusal("weight_packed", [](module_contents& m) {
              m["weight_packed"] = {dtype::I32, {5, 0}, ""};
          }) == "is empty");
    CHECK(refusal("weight_packed", [](module_contents& m) {
              m["weight_packed"].shape = {2, 5};
          }) == "shape is [2, 5], expected [5, 2]" + why);
    CHECK(refusal("weight_scale", [](module_contents& m) {
              m["weight_scale"].shape = {2, 5};
          }) == "shape is [2, 5], expected [5, 2]" + why);
    CHECK(refusal("weight_zero_point", [](module_contents& m) {
              m["weight_zero_point"].shape = {2, 1};
          }) == "shape is [2, 1], expected [1, 2]" + why);
    CHECK(refusal("weight_shape", [](module_contents& m) {
              m["weight_shape"].shape = {1, 2};
          }) == "shape is [1, 2], expected [2] (outputs and inputs)");
    CHECK(refusal("bias", [](module_contents& m) {
              m["bias"] = {dtype::F16, {4}, halves(4)};
          }) == "shape is [4], expected [5]" + why);
}

TEST_CASE("a weight_shape that lies is refused", "[io]") {
    const auto says = [](const std::string& shape) {
        return "says " + shape + ", expected at least 1 x 1 and at most 5 x 16, for which there are words";
    };
    CHECK(refusal_of_shape(0, 16) == says("0 x 16"));
    CHECK(refusal_of_shape(5, 0) == says("5 x 0"));
    CHECK(refusal_of_shape(-5, 16) == says("-5 x 16"));
    CHECK(refusal_of_shape(5, 17) == says("5 x 17"));
    constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
    CHECK(refusal_of_shape(5, least) == says("5 x -9223372036854775808"));
    CHECK(refusal_of_shape(5, -(least + 1)) == says("5 x 9223372036854775807"));
    CHECK(refusal_of_shape(5, 12) == "says 12 inputs, expected a multiple of the group size 8");
    // 5 outputs, if 32 bits were all that is looked at.
    const bool in_range = std::in_range<std::size_t>((1LL << 32U) + 5);
    CHECK(refusal(in_range ? "weight_packed" : "weight_shape",
                  [](module_contents& m) { m["weight_shape"].bytes = shape_bytes((1LL << 32U) + 5, 16); }) ==
          (in_range ? "shape is [5, 2], expected [4294967301, 2] (4294967301 outputs, 16 inputs, 4 bits, group size 8)"
                    : says("4294967301 x 16")));
}

TEST_CASE("a compressed-tensors g_idx outside of the groups, or that fills them unequally, is refused", "[io]") {
    const auto with = [](std::int32_t third) {
        return [third](module_contents& m) { m["weight_g_idx"] = g_idx(third); };
    };
    CHECK(refusal("weight_g_idx", with(2), act_order) == "element 2 is 2, expected 0 … 1, or -1 for none");
    CHECK(refusal("weight_g_idx", with(-2), act_order) == "element 2 is -2, expected 0 … 1, or -1 for none");
    CHECK(refusal("weight_g_idx", with(INT32_MAX), act_order) ==
          "element 2 is 2147483647, expected 0 … 1, or -1 for none");
    CHECK(refusal("weight_g_idx", with(1), act_order) == "gives groups unequal numbers of inputs, expected 8 in each");
    CHECK(refusal(
              "weight_g_idx",
              [](module_contents& m) {
                  m["weight_g_idx"] = {dtype::I32, {8}, words(8)};
              },
              act_order) == "shape is [8], expected [16] (5 outputs, 16 inputs, 4 bits, group size 8)");
}

TEST_CASE("a compressed-tensors scale that is not finite is refused", "[io]") {
    for (const std::uint16_t infinite_or_nan : std::vector<std::uint16_t>{0x7C00, 0xFC00, 0x7C01, 0x7E00})
        CHECK(refusal("weight_scale", [=](module_contents& m) {
                  m["weight_scale"].bytes.replace(8, 2, bytes_of(std::vector{infinite_or_nan}));
              }) == "compressed_linear: scale of output 2, group 0 is not finite");
}

TEST_CASE("a compressed-tensors module with any byte of its file changed loads or is refused as it should be", "[io]") {
    const temp_folder folder;
    module_contents tensors = good_module();
    tensors["weight_g_idx"] = g_idx(0);
    check_any_change(read_bytes(write_module(folder, tensors)), folder, [](const std::filesystem::path& path) {
        (void)unpack(load_compressed(safetensors::open(path), "m", act_order));
    });
}

}  // namespace hostile_compressed_tensors_test
