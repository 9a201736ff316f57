#include <gptq/io/loader_advice.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace loader_advice_test {

using namespace gptq::io;
using strings = std::vector<std::string>;

namespace {

/// Reasons of one loader; none when it takes the layer.
strings reasons(const std::vector<refusal>& all, std::string_view loader) {
    const auto found = std::ranges::find(all, loader, &refusal::loader);
    return found == all.end() ? strings{} : found->reasons;
}

bool refuses(const layer_facts& layer, std::string_view loader) {
    REQUIRE(std::ranges::find(gptq_loaders, loader, &gptq::io::loader::name) != std::end(gptq_loaders));
    return !reasons(refusals(layer), loader).empty();
}

const layer_facts widest{.out_features = 4096, .in_features = 4096, .config = {.bits = 4, .group_size = 128}};

}  // namespace

TEST_CASE("4 bits, symmetric, group 128 is what every loader of GPTQ takes", "[io]") {
    CHECK(refusals(widest).empty());
}

TEST_CASE("each demand of a loader is named when it is not met", "[io]") {
    layer_facts layer = widest;
    layer.config.sym = false;
    CHECK(reasons(refusals(layer), "vLLM (Marlin)") == strings{"the grid is asymmetric, expected a symmetric one"});
    CHECK_FALSE(refuses(layer, "vLLM (gptq)"));
    layer.config.zeros = gptq::zero_format::v2;
    CHECK(reasons(refusals(layer), "TGI (ExLlama)") == strings{"zero points are stored as gptq_v2, expected gptq"});

    layer = widest;
    layer.config.group_size = 96;
    CHECK(reasons(refusals(layer), "vLLM (Marlin)") ==
          strings{"group_size is 96, expected -1, 32, 64 or 128",
                  "in_features is 4096, expected a multiple of the group size 96"});
    CHECK(reasons(refusals(layer), "ExLlamaV2").front() == "group_size is 96, expected -1 or a power of two");

    layer = widest;
    layer.config.bits = 3;
    CHECK(refuses(layer, "vLLM (Marlin)"));
    CHECK_FALSE(refuses(layer, "vLLM (gptq)"));
    CHECK_FALSE(refuses(layer, "GPTQModel (torch)"));
    layer.out_features = 4112;  // no multiple of 32, which 3-bit zero points fill three words with
    CHECK(reasons(refusals(layer), "vLLM (gptq)") ==
          strings{"out_features is 4112, expected a multiple of 32, which fill words of zero points"});

    layer = widest;
    layer.out_features = 4096 + 32;
    CHECK(reasons(refusals(layer), "vLLM (Marlin)") == strings{"out_features is 4128, expected a multiple of 64"});

    layer = widest;
    layer.config.desc_act = true;
    CHECK(reasons(refusals(layer), "TensorRT-LLM") == strings{"desc_act is set, expected no act-order"});
    CHECK(refuses(layer, "SGLang (CPU)"));
    layer.config.static_groups = layer.config.true_sequential = true;
    CHECK_FALSE(refuses(layer, "SGLang (CPU)"));

    layer = widest;
    layer.scales = gptq::scale_type::bf16;
    CHECK(reasons(refusals(layer), "vLLM (gptq)") ==
          strings{"scales are BF16, expected F16, the only type that it computes in"});
}

TEST_CASE("loaders of other formats have tables of their own", "[io]") {
    layer_facts layer = widest;
    layer.config.sym = false;
    CHECK(refusals(layer, awq_loaders).empty());
    CHECK(refusals(layer, compressed_tensors_loaders).size() == 1);
    layer.config.group_size = gptq::per_row;
    CHECK_FALSE(reasons(refusals(layer, awq_loaders), "vLLM (AWQ)").empty());
    layer.config.bits = 8;
    CHECK_FALSE(reasons(refusals(layer, compressed_tensors_loaders), "vLLM (Marlin)").empty());
    layer.config.sym = true;
    CHECK(reasons(refusals(layer, compressed_tensors_loaders), "vLLM (Marlin)").empty());
}

TEST_CASE("a configuration of no checkpoint is refused", "[io]") {
    CHECK_THROWS_AS(refusals({.out_features = 8, .in_features = 8, .config = {.bits = 5}}), gptq::option_error);
}

}  // namespace loader_advice_test
