// Whole GGUF files of small models: what is under which name, in which order, and exactly how much of it. That
// llama.cpp runs them is what tests/interop asks.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gptq/gptq.hpp>
#include <nlohmann/json.hpp>

#include "gguf_blocks.hpp"
#include "gguf_export.hpp"
#include "gguf_names.hpp"
#include "support/catch.hpp"
#include "support/random_layer.hpp"
#include "support/temp_folder.hpp"

namespace gguf_export_test {

namespace {

using namespace llama;
using gptq::ggml_type;
using gptq::packed_linear;
using support::layer_options;

constexpr std::size_t hidden = 64, heads = 2, kv_heads = 1, head_dim = 16, tokens = 40;

/// A model folder of one layer, of random floats, in which modules may be packed.
class tiny_model {
public:
    explicit tiny_model(std::size_t inner = 96) : inner_(inner) {
        add("model.embed_tokens.weight", {tokens, hidden});
        add("model.norm.weight", {hidden});
        add("lm_head.weight", {tokens, hidden});
        for (const char* norm : {"input_layernorm", "post_attention_layernorm"})
            add(prefix + norm + ".weight", {hidden});
        for (const auto& [name, shape] : shapes()) add(prefix + name + ".weight", shape);
    }

    void add(const std::string& name, const std::vector<std::size_t>& shape) {
        const auto count = std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
        floats_[name] = {shape, support::normal_values(random_, count)};
    }
    void add_bias(const std::string& module) { add(prefix + module + ".bias", {shapes().at(module)[0]}); }
    void remove(const std::string& name) { floats_.erase(name); }
    void set(const std::string& name, std::size_t index, float value) { floats_.at(name).values[index] = value; }

    /// Packs a projection, with what the options say but its sizes.
    void pack(const std::string& module, layer_options o) {
        o.out = shapes().at(module)[0];
        o.in = shapes().at(module)[1];
        remove(prefix + module + ".weight");
        config_.bits = o.bits;
        config_.group_size = o.group_size;
        config_.desc_act = config_.desc_act || o.act_order;
        config_.zeros = o.zeros;
        packed_[prefix + module] = support::random_layer(random_, o);
    }
    void pack_all(const layer_options& o) {
        for (const auto& [name, shape] : shapes()) pack(name, o);
    }

    [[nodiscard]] model_source opened() const {
        folder_.write("config.json", config_json().dump());
        std::vector<gptq::io::tensor_declaration> declared;
        for (const auto& [name, t] : floats_) declared.push_back({name, gptq::io::dtype::F32, t.shape});
        std::vector<gptq::io::stored_tensor> stored;
        for (const auto& [module, layer] : packed_)
            for (auto& tensor : gptq::io::gptq_tensors(module, layer, config_)) stored.push_back(std::move(tensor));
        for (const auto& tensor : stored) declared.push_back(tensor.declaration);
        gptq::io::safetensors_writer writer(folder_ / "model.safetensors", declared);
        for (const auto& [name, t] : floats_) writer.write(name, std::as_bytes(std::span(t.values)));
        for (const auto& tensor : stored) writer.write(tensor.declaration.name, tensor.bytes);
        writer.finish();
        if (!packed_.empty()) gptq::io::write_gptq_config(folder_.path(), config_);
        return model_source::open(folder_.path());
    }

    [[nodiscard]] const std::vector<float>& floats(const std::string& name) const { return floats_.at(name).values; }
    [[nodiscard]] const packed_linear& packed(const std::string& module) const { return packed_.at(prefix + module); }
    [[nodiscard]] std::filesystem::path gguf_path() const { return folder_ / "model.gguf"; }

    static constexpr const char* prefix_text = "model.layers.0.";
    bool tied = false;

private:
    struct float_tensor {
        std::vector<std::size_t> shape;
        std::vector<float> values;
    };

    [[nodiscard]] std::map<std::string, std::vector<std::size_t>> shapes() const {
        return {{"self_attn.q_proj", {heads * head_dim, hidden}},
                {"self_attn.k_proj", {kv_heads * head_dim, hidden}},
                {"self_attn.v_proj", {kv_heads * head_dim, hidden}},
                {"self_attn.o_proj", {hidden, heads * head_dim}},
                {"mlp.gate_proj", {inner_, hidden}},
                {"mlp.up_proj", {inner_, hidden}},
                {"mlp.down_proj", {hidden, inner_}}};
    }
    [[nodiscard]] nlohmann::json config_json() const {
        return {{"hidden_size", hidden},        {"intermediate_size", inner_},     {"num_hidden_layers", 1},
                {"num_attention_heads", heads}, {"num_key_value_heads", kv_heads}, {"head_dim", head_dim},
                {"vocab_size", tokens},         {"tie_word_embeddings", tied}};
    }

    const std::string prefix = prefix_text;
    std::size_t inner_;
    std::mt19937 random_{11};
    std::map<std::string, float_tensor> floats_;
    std::map<std::string, packed_linear> packed_;
    gptq::io::gptq_config config_{.bits = 4, .group_size = 32};
    temp_folder folder_;
};

gptq::io::gguf written(const tiny_model& m, const gguf_options& options = {}) {
    write_gguf(m.opened(), m.gguf_path(), options, [](const gguf_progress&) {});
    return gptq::io::gguf::open(m.gguf_path());
}

std::string refusal(const tiny_model& m, const gguf_options& options = {}) {
    try {
        static_cast<void>(written(m, options));
    } catch (const gptq::error& e) {
        CHECK(!std::filesystem::exists(m.gguf_path()));
        return e.what();
    }
    return "accepted";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::vector<float> values_of(const packed_linear& p) {
    std::vector<float> values;
    for (std::size_t o = 0; o < p.out_features; ++o)
        for (std::size_t i = 0; i < p.in_features; ++i) values.push_back(gptq::value_at(p, o, i));
    return values;
}

/// Row r of what is returned is row order[r].
std::vector<float> rows(const std::vector<float>& matrix, const std::vector<std::size_t>& order) {
    const std::size_t width = matrix.size() / order.size();
    std::vector<float> result;
    for (const std::size_t r : order)
        result.insert(result.end(), matrix.begin() + static_cast<std::ptrdiff_t>(r * width),
                      matrix.begin() + static_cast<std::ptrdiff_t>((r + 1) * width));
    return result;
}

std::vector<float> columns(const std::vector<float>& matrix, const std::vector<std::size_t>& order) {
    std::vector<float> result;
    for (std::size_t first = 0; first < matrix.size(); first += order.size())
        for (const std::size_t c : order) result.push_back(matrix[first + c]);
    return result;
}

// Heads of 16: halves become neighbours.
const std::vector<std::size_t> one_head = {0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15};
const std::vector<std::size_t> two_heads = [] {
    std::vector<std::size_t> order = one_head;
    for (const std::size_t r : one_head) order.push_back(r + head_dim);
    return order;
}();

std::uint32_t file_type(const gptq::io::gguf& file) { return file.value<std::uint32_t>("general.file_type"); }

}  // namespace

TEST_CASE("a float model becomes tensors under llama.cpp's names, norms always in F32", "[gguf]") {
    const tiny_model m;
    const auto file = written(m);
    const std::map<std::string, std::pair<ggml_type, std::vector<std::size_t>>> expected = {
        {"token_embd.weight", {ggml_type::f16, {tokens, hidden}}},
        {"output_norm.weight", {ggml_type::f32, {hidden}}},
        {"output.weight", {ggml_type::f16, {tokens, hidden}}},
        {"blk.0.attn_norm.weight", {ggml_type::f32, {hidden}}},
        {"blk.0.ffn_norm.weight", {ggml_type::f32, {hidden}}},
        {"blk.0.attn_q.weight", {ggml_type::f16, {32, hidden}}},
        {"blk.0.attn_k.weight", {ggml_type::f16, {16, hidden}}},
        {"blk.0.attn_v.weight", {ggml_type::f16, {16, hidden}}},
        {"blk.0.attn_output.weight", {ggml_type::f16, {hidden, 32}}},
        {"blk.0.ffn_gate.weight", {ggml_type::f16, {96, hidden}}},
        {"blk.0.ffn_up.weight", {ggml_type::f16, {96, hidden}}},
        {"blk.0.ffn_down.weight", {ggml_type::f16, {hidden, 96}}},
    };
    REQUIRE(file.tensors().size() == expected.size());
    for (const auto& [name, tensor] : expected) {
        CHECK(file.at(name).type == tensor.first);
        CHECK(file.at(name).shape == tensor.second);
    }
    CHECK(file_type(file) == 1);
    CHECK(file.value<std::string>("tokenizer.ggml.model") == "none");
    CHECK(file.value<std::uint32_t>("llama.block_count") == 1);
}

TEST_CASE("rows of q and k, and their biases, are dealt out for llama.cpp's rotation", "[gguf]") {
    tiny_model m;
    for (const char* module : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}) m.add_bias(module);
    const auto file = written(m, {.floats = float_type::f32});
    const auto from = [&](const std::string& name) { return m.floats("model.layers.0.self_attn." + name); };
    const auto to = [&](const std::string& name) { return gptq::io::to_floats(file.at("blk.0.attn_" + name)); };
    CHECK(to("q.weight") == rows(from("q_proj.weight"), two_heads));
    CHECK(to("q.bias") == rows(from("q_proj.bias"), two_heads));
    CHECK(to("k.weight") == rows(from("k_proj.weight"), one_head));
    CHECK(to("k.bias") == rows(from("k_proj.bias"), one_head));
    CHECK(to("v.weight") == from("v_proj.weight"));
    CHECK(to("v.bias") == from("v_proj.bias"));
    CHECK(file.at("blk.0.attn_q.bias").type == ggml_type::f32);
    CHECK(file_type(file) == 0);
}

TEST_CASE("floats are rounded once to F16, and to Q8_0 where rows are whole blocks", "[gguf]") {
    const tiny_model m(80);
    const auto halves = written(m), bytes = written(m, {.floats = float_type::q8_0});
    CHECK(bytes.at("blk.0.ffn_up.weight").type == ggml_type::q8_0);
    CHECK(bytes.at("blk.0.ffn_down.weight").type == ggml_type::f16);  // rows of 80
    CHECK(file_type(bytes) == 7);
    const auto& original = m.floats("model.layers.0.mlp.up_proj.weight");
    const auto as_halves = gptq::io::to_floats(halves.at("blk.0.ffn_up.weight"));
    const auto as_bytes = gptq::io::to_floats(bytes.at("blk.0.ffn_up.weight"));
    for (std::size_t i = 0; i < original.size(); ++i) {
        CHECK(as_halves[i] == gptq::to_float(gptq::round_to<gptq::f16>(original[i])));
        float largest = 0;
        for (std::size_t j = i - i % 32; j < i - i % 32 + 32; ++j) largest = std::max(largest, std::abs(original[j]));
        // Half a step, of a scale that is rounded to f16: 127 steps of it may miss the largest by 127·2^-11 of a step.
        CHECK(std::abs(as_bytes[i] - original[i]) <= largest / 127 * (0.5F + 127 * 0x1p-11F));
    }
}

TEST_CASE("quantized layers keep every weight, in the smallest type that holds them", "[gguf]") {
    const struct {
        layer_options options;
        ggml_type type;
        std::uint32_t file_type;
    } cases[] = {{{.bits = 4, .group_size = 32, .sym = true}, ggml_type::q4_0, 2},
                 {{.bits = 4, .group_size = 32}, ggml_type::q5_0, 8},
                 {{.bits = 3, .group_size = 32}, ggml_type::q4_0, 2},
                 {{.bits = 2, .group_size = 32}, ggml_type::q4_0, 2},
                 {{.bits = 8, .group_size = 32, .sym = true}, ggml_type::q8_0, 7}};
    for (const auto& c : cases) {
        tiny_model m;
        m.pack_all(c.options);
        const auto file = written(m);
        CHECK(file_type(file) == c.file_type);
        const auto same = [&](const char* gguf, const char* module, const std::vector<float>& expected) {
            INFO(module);
            CHECK(file.at(gguf).type == c.type);
            CHECK(gptq::io::to_floats(file.at(gguf)) == expected);
        };
        const auto values = [&](const char* module) { return values_of(m.packed(module)); };
        same("blk.0.attn_q.weight", "q", rows(values("self_attn.q_proj"), two_heads));
        same("blk.0.attn_k.weight", "k", rows(values("self_attn.k_proj"), one_head));
        same("blk.0.attn_v.weight", "v", values("self_attn.v_proj"));
        same("blk.0.attn_output.weight", "o", values("self_attn.o_proj"));
        same("blk.0.ffn_gate.weight", "gate", values("mlp.gate_proj"));
        same("blk.0.ffn_up.weight", "up", values("mlp.up_proj"));
        same("blk.0.ffn_down.weight", "down", values("mlp.down_proj"));
        CHECK(file.at("output.weight").type == ggml_type::f16);
    }
}

TEST_CASE("act-order of a down projection goes away exactly, with the outputs of gate and up", "[gguf]") {
    tiny_model m;
    m.pack("mlp.gate_proj", {.bits = 4, .group_size = 32, .sym = true});
    m.pack("mlp.down_proj", {.bits = 4, .group_size = 32, .sym = true, .act_order = true});
    m.add_bias("mlp.up_proj");
    const auto file = written(m, {.floats = float_type::f32});
    const auto order = gptq::grouped_order(m.packed("mlp.down_proj").g_idx);
    REQUIRE(!std::ranges::is_sorted(order));
    const auto to = [&](const char* name) { return gptq::io::to_floats(file.at(name)); };
    CHECK(file.at("blk.0.ffn_down.weight").type == ggml_type::q4_0);
    CHECK(to("blk.0.ffn_down.weight") == columns(values_of(m.packed("mlp.down_proj")), order));
    CHECK(to("blk.0.ffn_gate.weight") == rows(values_of(m.packed("mlp.gate_proj")), order));
    CHECK(to("blk.0.ffn_up.weight") == rows(m.floats("model.layers.0.mlp.up_proj.weight"), order));
    CHECK(to("blk.0.ffn_up.bias") == rows(m.floats("model.layers.0.mlp.up_proj.bias"), order));
}

TEST_CASE("what no block type holds is refused with the layer, the reason and the way out", "[gguf]") {
    const auto refused = [](const layer_options& o, std::size_t inner = 96, const char* module = "self_attn.v_proj") {
        tiny_model m(inner);
        m.pack(module, o);
        const std::string message = refusal(m);
        CHECK(contains(message, std::string("model.layers.0.") + module + " cannot be stored exactly"));
        CHECK(contains(message, "--requantize"));
        return message;
    };
    CHECK(contains(refused({.bits = 4, .group_size = 32, .act_order = true}), "share a scale"));
    CHECK(contains(refused({.bits = 4, .group_size = 16}), "share a scale"));
    CHECK(contains(refused({.bits = 8, .group_size = 32}), "no block type"));
    CHECK(contains(refused({.bits = 4, .group_size = 32, .scales = gptq::scale_type::f32}), "no f16"));
    CHECK(contains(refused({.bits = 4, .group_size = 40}, 80, "mlp.down_proj"), "multiple of 32"));
}

TEST_CASE("rounding anew adds a tenth to the noise at most, or takes Q8_0, or F16 without blocks", "[gguf]") {
    for (const unsigned bits : {2U, 3U, 4U, 8U})
        for (const std::ptrdiff_t group_size : {32, 40}) {
            tiny_model m(group_size == 40 ? 80 : 96);
            const bool has_blocks = group_size == 32;
            const char* const module = has_blocks ? "self_attn.v_proj" : "mlp.down_proj";
            m.pack(module, {.bits = bits, .group_size = group_size, .act_order = true});
            const packed_linear& layer = m.packed(module);
            const std::string name = has_blocks ? "blk.0.attn_v.weight" : "blk.0.ffn_down.weight";
            std::set<std::string> rounded;
            write_gguf(m.opened(), m.gguf_path(), {.requantize = true}, [&](const gguf_progress& p) {
                if (p.requantized) rounded.insert(p.name);
            });
            CHECK(rounded == std::set<std::string>{name});
            const auto file = gptq::io::gguf::open(m.gguf_path());
            const auto before = values_of(layer), after = gptq::io::to_floats(file.at(name));
            double noise = 0, added = 0;
            for (std::size_t i = 0; i < before.size(); ++i) {
                const auto group = static_cast<std::size_t>(layer.g_idx[i % layer.in_features]);
                noise += std::pow(gptq::scale_at(layer, i / layer.in_features, group), 2) / 12;
                added += std::pow(after[i] - before[i], 2);
            }
            CHECK(added > 0);
            if (!has_blocks)
                CHECK(file.at(name).type == ggml_type::f16);
            else if (file.at(name).type != ggml_type::q8_0)
                CHECK(added <= 0.1 * noise);
            if (bits == 2) CHECK(file.at(name).type != ggml_type::q8_0);
            if (bits == 8 && has_blocks) CHECK(file.at(name).type == ggml_type::q8_0);
        }
}

TEST_CASE("a tied head is not written, though the folder may have a copy of it", "[gguf]") {
    tiny_model tied;
    tied.tied = true;
    CHECK(!written(tied).contains("output.weight"));
}

TEST_CASE("frequencies that follow from the configuration are left out, other strange tensors refused", "[gguf]") {
    tiny_model m;
    m.add("model.layers.0.self_attn.rotary_emb.inv_freq", {head_dim / 2});
    CHECK(written(m).tensors().size() == 12);
    for (const char* name : {"model.layers.0.self_attn.q_norm.weight", "model.layers.1.input_layernorm.weight",
                             "model.layers.0.self_attn.q_proj.lora_A", "score"}) {
        tiny_model strange;
        strange.add(name, {hidden});
        CHECK(
            contains(refusal(strange), std::string("tensor '") + name + "': llama.cpp's architecture 'llama' has no"));
    }
    tiny_model biased;
    biased.add("lm_head.bias", {tokens});
    CHECK(contains(refusal(biased), "no bias in the head"));
    for (std::size_t i = 0; i < tokens; ++i) biased.set("lm_head.bias", i, 0);
    CHECK(written(biased).tensors().size() == 12);
}

TEST_CASE("values that the file cannot have are refused, and leave no file", "[gguf]") {
    tiny_model broken;
    broken.set("model.layers.0.mlp.up_proj.weight", 70, std::numeric_limits<float>::infinity());
    CHECK(contains(refusal(broken), "up_proj.weight': value 70 is not finite: inf"));
    tiny_model large;
    large.set("lm_head.weight", 5, -65520);
    CHECK(contains(refusal(large), "lm_head.weight': -65520 is beyond F16"));
    large.set("lm_head.weight", 5, -65519);
    CHECK(gptq::io::to_floats(written(large).at("output.weight"))[5] == -65504);
}

TEST_CASE("a matrix of more rows than are read at once arrives whole, in its order", "[gguf]") {
    tiny_model m(20000);  // rows of 64: 16384 are read at once
    m.pack("mlp.down_proj", {.bits = 4, .group_size = 32, .sym = true, .act_order = true});
    const auto file = written(m, {.floats = float_type::f32});
    const auto order = gptq::grouped_order(m.packed("mlp.down_proj").g_idx);
    // Not by the vectors' ==, of whose operands a failing check would print every number.
    CHECK(std::ranges::equal(gptq::io::to_floats(file.at("blk.0.ffn_up.weight")),
                             rows(m.floats("model.layers.0.mlp.up_proj.weight"), order)));
}

TEST_CASE("columns are put in order only where that helps", "[gguf]") {
    const auto natural = gptq::natural_g_idx(128, 32);
    CHECK(order_for_blocks(natural).empty());
    std::vector<std::int32_t> scattered = natural, ragged = gptq::natural_g_idx(128, 48);
    std::swap(scattered[0], scattered[127]);
    std::swap(ragged[0], ragged[127]);
    CHECK(order_for_blocks(ragged).empty());
    const auto order = order_for_blocks(scattered);
    REQUIRE(order.size() == 128);
    for (std::size_t i = 0; i < 128; ++i) CHECK(scattered[order[i]] == natural[i]);
}

}  // namespace gguf_export_test
