// The main job on the embedded model, end to end: quantize, write, load, run.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include <gptq/gptq.hpp>

#include "evaluate.hpp"
#include "generate.hpp"
#include "model.hpp"
#include "quantize.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"
#include "tokenizer.hpp"
#include "windows.hpp"

namespace main_job_test {

namespace {

using namespace llama;

const std::filesystem::path embedded = std::filesystem::path(GPTQ_SOURCE_DIR) / "models" / "bard";

const on_progress silent = [](std::size_t, std::size_t) {};

windows made_up(const model& m, std::size_t count, std::uint64_t seed, gptq::thread_pool& pool) {
    return sample_windows(m, 128, count, seed, pool, silent);
}

matrix window_logits(const model& m, const token_ids& window, gptq::thread_pool& pool) {
    sequence_state state;
    const std::vector<batch_part> whole = {{&state, window.size()}};
    return logits(m, forward(m, window, whole, pool), pool);
}

/// The float model with its projections replaced.
model with_projections(model m, const std::map<std::string, gptq::packed_linear>& packed) {
    for (std::size_t i = 0; i < m.layers.size(); ++i)
        for (const auto& p : projections) m.layers[i].*p.member = projection(packed.at(layer_prefix(i) + p.name));
    return m;
}

TEST_CASE("a checkpoint that is loaded computes the same bits as the model in memory") {
    gptq::thread_pool pool(2);
    const auto source = model_source::open(embedded);
    const model reference = model::load(source);
    const windows calibration = made_up(reference, 8, 1, pool);
    const token_ids text = made_up(reference, 1, 2, pool).front();
    for (const unsigned bits : {2U, 3U, 4U, 8U}) {
        temp_folder folder;
        const bool sym = bits == 2 || bits == 4;
        quantize_options options{.grid = {.bits = bits, .group_size = bits == 3 ? 32 : 128, .sym = sym}};
        options.order = bits == 8 ? gptq::act_order::descending : gptq::act_order::group_aware;
        std::map<std::string, gptq::packed_linear> packed;
        gptq::io::atomic_folder out(folder.path() / "out");
        quantize_to_folder(source, out, options, calibration, pool,
                           [&](const quantized_projection& p) { packed[p.name] = p.packed; });
        REQUIRE(packed.size() == 7 * source.shape.layers);
        const auto loaded_source = model_source::open(folder.path() / "out");
        const model loaded = model::load(loaded_source);
        CHECK(std::get<gptq::io::gptq_config>(*loaded_source.quantization).bits == bits);
        const model in_memory = with_projections(reference, packed);
        const matrix a = window_logits(loaded, text, pool), b = window_logits(in_memory, text, pool);
        CHECK(std::ranges::equal(a, b));
        CHECK(loaded.bytes() < reference.bytes() / 2);
    }
}

TEST_CASE("GPTQ stays closer to the float model than rounding to nearest, and 4 bits closer than 3") {
    gptq::thread_pool pool(2);
    const auto source = model_source::open(embedded);
    const model reference = model::load(source);
    const windows calibration = made_up(reference, 16, 1, pool), text = made_up(reference, 8, 2, pool);
    const auto divergence = [&](unsigned bits, method how) {
        std::map<std::string, gptq::packed_linear> packed;
        quantize_layers(source, {.grid = {.bits = bits}, .how = how}, calibration, pool,
                        [&](const quantized_projection& p) { packed[p.name] = p.packed; });
        return evaluate(with_projections(reference, packed), &reference, text, pool, silent).kl_divergence.value();
    };
    const double gptq4 = divergence(4, method::gptq), gptq3 = divergence(3, method::gptq);
    CHECK(gptq4 < gptq3);
    CHECK(gptq4 < divergence(4, method::nearest));
    CHECK(gptq3 < 0.7 * divergence(3, method::nearest));
}

// How much it gains is measured on real text (docs/quality.md). On as little as this, gain and noise are of one size:
// what can be asked is that it changes the weights, and does no harm beyond the noise.
TEST_CASE("asymmetric calibration changes a model without harm, whichever way layers are calibrated") {
    gptq::thread_pool pool(2);
    const auto source = model_source::open(embedded);
    const model reference = model::load(source);
    const windows calibration = made_up(reference, 16, 1, pool), text = made_up(reference, 8, 2, pool);
    const auto divergence = [&](bool true_sequential, double strength) {
        quantize_options options{.grid = {.bits = 3}, .true_sequential = true_sequential};
        options.asymmetric.strength = strength;
        std::map<std::string, gptq::packed_linear> packed;
        quantize_layers(source, options, calibration, pool,
                        [&](const quantized_projection& p) { packed[p.name] = p.packed; });
        return evaluate(with_projections(reference, packed), &reference, text, pool, silent).kl_divergence.value();
    };
    for (const bool true_sequential : {false, true}) {
        const double without = divergence(true_sequential, 0), with = divergence(true_sequential, 0.25);
        CHECK(with != without);
        CHECK(with < 1.25 * without);
    }
    CHECK_THROWS_AS(divergence(true, 1.5), gptq::option_error);
}

TEST_CASE("codes do not depend on the number of threads") {
    gptq::thread_pool one(1), three(3);
    const auto source = model_source::open(embedded);
    const windows calibration = made_up(model::load(source), 4, 1, one);
    for (const double strength : {0.0, 0.5}) {
        const quantize_options options{.asymmetric = {.strength = strength}};
        std::map<std::string, gptq::shared_array<std::uint32_t>> words;
        quantize_layers(source, options, calibration, one,
                        [&](const quantized_projection& p) { words[p.name] = p.packed.qweight; });
        quantize_layers(source, options, calibration, three,
                        [&](const quantized_projection& p) { CHECK(words[p.name] == p.packed.qweight); });
    }
}

TEST_CASE("the output is a complete model folder, or there is none") {
    gptq::thread_pool pool(2);
    const auto source = model_source::open(embedded);
    const temp_folder folder;
    const auto path = folder.path() / "out";
    const auto quantize = [&](const on_projection& done) {
        gptq::io::atomic_folder out(path);
        quantize_to_folder(source, out, {.how = method::nearest}, {}, pool, done);
    };
    const on_projection go_on = [](const quantized_projection&) {};
    CHECK_THROWS_AS(quantize([](const quantized_projection& p) {
                        if (p.done == 5) throw std::runtime_error("interrupted");
                    }),
                    std::runtime_error);
    CHECK_FALSE(std::filesystem::exists(path));
    quantize(go_on);
    for (const char* file : {"config.json", "quantize_config.json", "model.safetensors", "tokenizer.json",
                             "tokenizer_config.json", "generation_config.json"})
        CHECK(std::filesystem::exists(path / file));
    CHECK_THROWS_AS(quantize(go_on), gptq::file_error);
    CHECK_THROWS_AS(expect_float_model(model_source::open(path)), gptq::option_error);
}

/// The embedded model with one tensor's bytes changed.
std::filesystem::path altered(const temp_folder& folder, const std::string& name,
                              const std::function<void(std::span<std::byte>)>& change) {
    const auto path = folder.path() / "altered";
    std::filesystem::copy(embedded, path);
    const auto files = gptq::io::model_files::open(embedded);
    std::vector<gptq::io::tensor_declaration> declared;
    for (const auto& t : files.tensors()) declared.push_back({t.name, t.type, t.shape});
    std::filesystem::remove(path / "model.safetensors");
    gptq::io::safetensors_writer writer(path / "model.safetensors", declared);
    for (const auto& t : files.tensors()) {
        std::vector<std::byte> bytes(t.bytes.begin(), t.bytes.end());
        if (t.name == name) change(bytes);
        writer.write(t.name, bytes);
    }
    writer.finish();
    return path;
}

TEST_CASE("a value that is not finite is refused with its tensor and place, wherever it is") {
    gptq::thread_pool pool(1);
    for (const char* name : {"model.norm.weight", "model.embed_tokens.weight", "model.layers.2.input_layernorm.weight",
                             "model.layers.4.mlp.down_proj.weight"}) {
        const temp_folder folder;
        const auto path = altered(folder, name, [](std::span<std::byte> bytes) {
            bytes[14] = std::byte{0};  // value 7: infinity in f16
            bytes[15] = std::byte{0x7C};
        });
        const auto source = model_source::open(path);
        gptq::io::atomic_folder out(folder.path() / "out");
        const std::string expected =
            path.string() + "/model.safetensors: tensor '" + name + "': value 7 is not finite: inf";
        CHECK_THROWS_WITH(
            quantize_to_folder(source, out, {.how = method::nearest}, {}, pool, [](const quantized_projection&) {}),
            expected);
        CHECK_THROWS_WITH(model::load(source), expected);
    }
}

TEST_CASE("a sequence in pieces, and sequences together, get the logits of one alone") {
    gptq::thread_pool pool(2);
    const model m = model::load(model_source::open(embedded));
    const windows text = made_up(m, 2, 3, pool);
    const matrix whole = window_logits(m, text[0], pool);
    sequence_state first, second;
    const std::vector<batch_part> begin = {{&first, 10}};
    (void)forward(m, std::span(text[0]).first(10), begin, pool);
    token_ids both(text[0].begin() + 10, text[0].end());
    both.insert(both.end(), text[1].begin(), text[1].end());
    const std::vector<batch_part> parts = {{&first, text[0].size() - 10}, {&second, text[1].size()}};
    const matrix rest = logits(m, forward(m, both, parts, pool), pool);
    for (std::size_t t = 10; t < text[0].size(); ++t)
        for (std::size_t v = 0; v < m.shape.vocab_size; ++v)
            REQUIRE(rest(t - 10, v) ==
                    Approx(whole(t, v)).margin(1e-3));  // logits of order 10, float sums in other orders
}

TEST_CASE("the embedded model has learnt its language") {
    gptq::thread_pool pool(2);
    const auto source = model_source::open(embedded);
    const model m = model::load(source);
    const auto words = tokenizer::open(embedded);
    // Words that any English text holds are far likelier than a uniform byte, which costs ln 256 = 5.5 nats.
    token_ids line = words.encode("What is the matter with the king, my lord, that he should come to me?");
    line.insert(line.begin(), *m.shape.bos);
    const auto e = evaluate(m, nullptr, {line}, pool, silent);
    CHECK(std::log(e.perplexity) < 2.2);
    std::string spoken;
    text_stream text(words);
    const token_ids prompt = {*m.shape.bos};
    const auto g = generate(m, prompt, {}, {.tokens = 50, .temperature = 0}, pool,
                            [&](std::uint32_t id) { spoken += text.next(id); });
    CHECK(g.tokens == 50);
    CHECK(std::ranges::count(spoken, ' ') >= 5);
}

TEST_CASE("text that is too short, ids that are foreign and broken files are refused in one sentence") {
    gptq::thread_pool pool(1);
    const auto source = model_source::open(embedded);
    temp_folder folder;
    std::ofstream(folder.path() / "short.txt") << "abc";
    const auto words = tokenizer::open(embedded);
    CHECK_THROWS_WITH(cut_randomly(read_text(folder.path() / "short.txt", words, source.shape), 256, 4, 0),
                      "the text has 4 tokens, but one window takes 256: give more text or a smaller --context");
    std::ofstream(folder.path() / "odd.u16") << "abc";
    CHECK_THROWS_AS(read_ids(folder.path() / "odd.u16"), gptq::format_error);
    std::ofstream(folder.path() / "bytes.txt") << "\xff\xfe\x80 not UTF-8 \xc3";
    CHECK(read_text(folder.path() / "bytes.txt", words, source.shape).size() == 16);
    const token_ids foreign = {1, 300};
    CHECK_THROWS_WITH(expect_ids(source.shape, foreign),
                      "token 1 is 300, but the model has 256 tokens: ids of another tokenizer?");
    CHECK_THROWS_AS(expect_context(source.shape, 257), gptq::option_error);

    std::filesystem::copy(embedded, folder.path() / "broken");
    const auto weights = folder.path() / "broken" / "model.safetensors";
    std::filesystem::resize_file(weights, std::filesystem::file_size(weights) - 1000);
    CHECK_THROWS_AS(model_source::open(folder.path() / "broken"), gptq::format_error);
    CHECK_THROWS_AS(model_source::open(folder.path() / "nowhere"), gptq::file_error);
}

}  // namespace

}  // namespace main_job_test
