// What llama.cpp is told of the network. That it then computes the same is what tests/interop asks.
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include <gptq/gptq.hpp>
#include <nlohmann/json.hpp>

#include "gguf_metadata.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace gguf_metadata_test {

namespace {

using nlohmann::json;

/// The configuration of a model whose heads are smaller than hidden_size / heads.
llama::config read(const json& more) {
    json file = {{"hidden_size", 96},        {"intermediate_size", 160},       {"num_hidden_layers", 3},
                 {"num_attention_heads", 4}, {"num_key_value_heads", 2},       {"head_dim", 16},
                 {"vocab_size", 40},         {"max_position_embeddings", 128}, {"rms_norm_eps", 1e-5},
                 {"rope_theta", 500000.0}};
    file.update(more);
    const temp_folder folder;
    folder.write("config.json", file.dump());
    return llama::read_config(folder.path());
}

template <class T>
T value(const gptq::io::gguf_metadata& keys, const char* key) {
    return gptq::io::at<T>(keys, key, "the test's file");
}

}  // namespace

TEST_CASE("llama.cpp is told every size, in the types that it wants", "[gguf]") {
    const auto keys = llama::gguf_architecture(read(json::object()));
    const auto number = [&](const char* key) { return value<std::uint32_t>(keys, key); };
    CHECK(number("llama.embedding_length") == 96);
    CHECK(number("llama.feed_forward_length") == 160);
    CHECK(number("llama.block_count") == 3);
    CHECK(number("llama.attention.head_count") == 4);
    CHECK(number("llama.attention.head_count_kv") == 2);
    CHECK(number("llama.attention.key_length") == 16);
    CHECK(number("llama.attention.value_length") == 16);
    CHECK(number("llama.rope.dimension_count") == 16);
    CHECK(number("llama.vocab_size") == 40);
    CHECK(number("llama.context_length") == 128);
    CHECK(value<float>(keys, "llama.attention.layer_norm_rms_epsilon") == 1e-5F);
    CHECK(value<float>(keys, "llama.rope.freq_base") == 500000);
    CHECK(keys.size() == 12);
    CHECK(llama::gguf_rope_divisors(read(json::object())).empty());
}

TEST_CASE("linear scaling of positions is metadata", "[gguf]") {
    const llama::config shape = read({{"rope_scaling", {{"type", "linear"}, {"factor", 3.0}}}});
    const auto keys = llama::gguf_architecture(shape);
    CHECK(value<std::string>(keys, "llama.rope.scaling.type") == "linear");
    CHECK(value<float>(keys, "llama.rope.scaling.factor") == 3);
    CHECK(llama::gguf_rope_divisors(shape).empty());
}

TEST_CASE("Llama 3's scaling is a divisor for each frequency", "[gguf]") {
    const double factor = 8, low = 1, high = 4, context = 64;
    const llama::config shape = read({{"rope_scaling",
                                       {{"rope_type", "llama3"},
                                        {"factor", factor},
                                        {"low_freq_factor", low},
                                        {"high_freq_factor", high},
                                        {"original_max_position_embeddings", context}}}});
    const auto divisors = llama::gguf_rope_divisors(shape);
    REQUIRE(divisors.size() == 8);
    for (std::size_t i = 0; i < divisors.size(); ++i) {
        const double wavelength = 2 * std::numbers::pi * std::pow(500000.0, static_cast<double>(i) / 8);
        const double blend = (context / wavelength - low) / (high - low);
        const double expected = wavelength < context / high  ? 1
                                : wavelength > context / low ? factor
                                                             : 1 / ((1 - blend) / factor + blend);
        // Two roundings to float on the way, and that of the division.
        CHECK(std::abs(divisors[i] - expected) <= 2e-7 * expected);
    }
    CHECK(divisors.front() == 1);
    CHECK(divisors[1] > 1);
    CHECK(divisors[1] < 8);
    CHECK(divisors.back() == 8);
    CHECK(!llama::gguf_architecture(shape).contains("llama.rope.scaling.type"));
}

TEST_CASE("the file says what most of it is", "[gguf]") {
    using gptq::ggml_type;
    const auto type = [](ggml_type most) {
        return value<std::uint32_t>(llama::gguf_general("bard", most), "general.file_type");
    };
    CHECK(type(ggml_type::f32) == 0);
    CHECK(type(ggml_type::f16) == 1);
    CHECK(type(ggml_type::q4_0) == 2);
    CHECK(type(ggml_type::q4_1) == 3);
    CHECK(type(ggml_type::q8_0) == 7);
    CHECK(type(ggml_type::q5_0) == 8);
    CHECK(type(ggml_type::q5_1) == 9);
    const auto keys = llama::gguf_general("bard", ggml_type::q4_0);
    CHECK(value<std::string>(keys, "general.architecture") == "llama");
    CHECK(value<std::string>(keys, "general.name") == "bard");
    CHECK(value<std::uint32_t>(keys, "general.quantization_version") == 2);
}

}  // namespace gguf_metadata_test
