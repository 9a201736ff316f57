#include "convert.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>

#include "inventory.hpp"
#include "loader_warnings.hpp"
#include "quantize.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace convert_test {

using namespace llama;
namespace fs = std::filesystem;

namespace {

const fs::path embedded = fs::path(GPTQ_SOURCE_DIR) / "models" / "bard";

/// The embedded model, rounded to nearest.
void quantize(const fs::path& out, const gptq::uniform_grid& grid) {
    gptq::thread_pool pool(1);
    gptq::io::atomic_folder folder(out);
    quantize_to_folder(model_source::open(embedded), folder, {.grid = grid, .how = method::nearest}, {}, pool,
                       [](const quantized_projection&) {});
}

struct conversion {
    gptq::io::quantization how;
    std::size_t requantized = 0;
};

conversion convert_folder(const fs::path& from, const fs::path& to, const convert_options& options) {
    conversion result;
    gptq::io::atomic_folder folder(to);
    result.how = convert(checkpoint::open(from), folder, options,
                         [&](const converted_layer& layer) { result.requantized += layer.requantized ? 1 : 0; });
    return result;
}

/// Name of a layer → checksum of what its weights are.
std::map<std::string, std::uint32_t> weights(const fs::path& folder) {
    std::map<std::string, std::uint32_t> result;
    for (const auto& layer : take_inventory(folder).layers) result[layer.name] = layer.weights;
    return result;
}

/// The folder with g_idx of one module's columns scattered over its groups.
void scatter(const fs::path& folder, const std::string& module) {
    const auto source = checkpoint::open(folder);
    const auto& g_idx = source.files.at(module + ".g_idx");
    std::vector<std::int32_t> groups(g_idx.bytes.size() / 4);
    std::memcpy(groups.data(), g_idx.bytes.data(), g_idx.bytes.size());
    std::vector<std::int32_t> scattered;  // 0 1 2 … 0 1 2 …
    const std::size_t count = static_cast<std::size_t>(groups.back()) + 1;
    for (std::size_t i = 0; i < groups.size(); ++i) scattered.push_back(static_cast<std::int32_t>(i % count));
    std::vector<gptq::io::tensor_declaration> declared;
    for (const auto& t : source.files.tensors()) declared.push_back({t.name, t.type, t.shape});
    gptq::io::safetensors_writer writer(folder / "model.safetensors", declared);
    for (const auto& t : source.files.tensors())
        writer.write(t.name, t.name == module + ".g_idx" ? std::as_bytes(std::span(scattered)) : t.bytes);
    writer.finish();
}

}  // namespace

TEST_CASE("through all layouts and back, every weight stays as it was") {
    for (const bool sym : {true, false}) {
        const temp_folder folder;
        quantize(folder / "v", {.bits = 4, .group_size = 64, .sym = sym});
        const auto expected = weights(folder / "v");
        REQUIRE(expected.size() == 35);
        fs::path last = folder / "v";
        const layout first = layout::gptq_v2, final = sym ? layout::gptq : layout::gptq_v2;
        for (const layout to : {first, layout::awq, layout::compressed_tensors, layout::awq, final}) {
            const fs::path next = last.string() + "+";
            CHECK(convert_folder(last, next, {.to = to}).requantized == 0);
            CHECK(weights(next) == expected);
            (void)model::load(model_source::open(next));
            last = next;
        }
        const auto a = take_inventory(folder / "v"), b = take_inventory(last);
        CHECK(a.checksum() == b.checksum());  // byte for byte the tensors that it began with
        CHECK(a.bytes() == b.bytes());
    }
}

TEST_CASE("2, 3 and 8 bits go where they can, and are refused where they cannot") {
    for (const unsigned bits : {2U, 3U, 8U}) {
        const temp_folder folder;
        quantize(folder / "in", {.bits = bits, .group_size = 64});
        const auto expected = weights(folder / "in");
        const auto to = [&](layout which, bool requantize) {
            fs::remove_all(folder / "out");
            return convert_folder(folder / "in", folder / "out", {.to = which, .requantize = requantize});
        };
        CHECK(to(layout::gptq_v2, false).requantized == 0);
        CHECK(weights(folder / "out") == expected);
        CHECK_THROWS_AS(to(layout::awq, false), gptq::option_error);
        CHECK_FALSE(fs::exists(folder / "out"));
        CHECK(to(layout::awq, true).requantized == 35);
        (void)model::load(model_source::open(folder / "out"));
        if (bits == 3) {
            CHECK_THROWS_AS(to(layout::compressed_tensors, false), gptq::option_error);
            CHECK(to(layout::compressed_tensors, true).requantized == 35);
        } else {
            CHECK(to(layout::compressed_tensors, false).requantized == 0);
            CHECK(weights(folder / "out") == expected);
        }
    }
}

TEST_CASE("a zero point of 0 is refused for v1, with the way out") {
    const temp_folder folder;
    quantize(folder / "in", {.bits = 2, .group_size = 32, .sym = false});
    try {
        convert_folder(folder / "in", folder / "out", {.to = layout::gptq});
        FAIL("no zero point of 0 among those of 35 layers of 2 bits");
    } catch (const gptq::option_error& e) {
        const std::string message = e.what();
        CHECK(message.find("model.layers.") == 0);
        CHECK(message.find("v2") != message.npos);
    }
}

TEST_CASE("act-order is kept, undone where the order of inputs is free, and refused elsewhere") {
    const temp_folder folder;
    quantize(folder / "in", {.bits = 4, .group_size = 64});
    const std::string down = "model.layers.2.mlp.down_proj";
    scatter(folder / "in", down);
    const auto expected = weights(folder / "in");
    convert_folder(folder / "in", folder / "v2", {.to = layout::gptq_v2});
    CHECK(weights(folder / "v2") == expected);
    const auto kept = convert_folder(folder / "in", folder / "ct", {.to = layout::compressed_tensors});
    CHECK(std::get<gptq::io::compressed_config>(kept.how).order == gptq::io::column_order::dynamic_groups);
    CHECK(weights(folder / "ct") == expected);

    CHECK(convert_folder(folder / "in", folder / "awq", {.to = layout::awq}).requantized == 0);
    gptq::thread_pool pool(1);
    const windows text = {{1, 20, 40, 7, 9, 100}};
    const auto logits_of = [&](const fs::path& path) {
        const model m = model::load(model_source::open(path));
        sequence_state state(m.shape.layers);
        const batch_part part{&state, text[0].size()};
        return logits(m, forward(m, text[0], {&part, 1}, pool), pool);
    };
    const matrix a = logits_of(folder / "in"), b = logits_of(folder / "awq");
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(double{a.data()[i]} - b.data()[i]));
    CHECK(worst < 1e-2);  // the same weights, multiplied in another order with 16-bit activations

    scatter(folder / "in", "model.layers.1.self_attn.q_proj");
    try {
        convert_folder(folder / "in", folder / "refused", {.to = layout::awq});
        FAIL("the inputs of q_proj are not free");
    } catch (const gptq::option_error& e) {
        const std::string message = e.what();
        CHECK(message.find("model.layers.1.self_attn.q_proj cannot be converted exactly: ") == 0);
        CHECK(message.find("act-order") != message.npos);
        CHECK(message.find("--requantize") != message.npos);
    }
    CHECK(convert_folder(folder / "in", folder / "rounded", {.to = layout::awq, .requantize = true}).requantized == 1);
}

TEST_CASE("a model of several files is written and read, and is the same") {
    const temp_folder folder;
    quantize(folder / "in", {.bits = 4, .group_size = 64});
    convert_folder(folder / "in", folder / "out", {.to = layout::awq, .largest_shard = 500'000});
    CHECK_FALSE(fs::exists(folder / "out" / "model.safetensors"));
    CHECK(fs::exists(folder / "out" / "model.safetensors.index.json"));
    CHECK(weights(folder / "out") == weights(folder / "in"));
}

TEST_CASE("modules that are left as floats are named in each format's own way") {
    const temp_folder folder;
    quantize(folder / "in", {.bits = 4, .group_size = 64});
    const auto source = checkpoint::open(folder / "in");
    const std::string module = "model.layers.0.self_attn.v_proj";
    std::vector<gptq::io::tensor_declaration> declared;
    const auto is_of_module = [&](const std::string& name) { return name.starts_with(module + "."); };
    for (const auto& t : source.files.tensors())
        if (!is_of_module(t.name)) declared.push_back({t.name, t.type, t.shape});
    declared.push_back({module + ".weight", gptq::io::dtype::F16, {128, 256}});
    fs::create_directory(folder / "mixed");
    gptq::io::safetensors_writer writer(folder / "mixed" / "model.safetensors", declared);
    for (const auto& t : source.files.tensors())
        if (!is_of_module(t.name)) writer.write(t.name, t.bytes);
    writer.append_zeros(module + ".weight", std::size_t{2} * 128 * 256);
    writer.finish();
    fs::copy_file(folder / "in" / "config.json", folder / "mixed" / "config.json");

    const auto to = [&](const fs::path& from, layout which, const char* name) {
        return convert_folder(from, folder / name, {.to = which}).how;
    };
    using strings = std::vector<std::string>;
    const auto awq = to(folder / "mixed", layout::awq, "awq");
    CHECK(std::get<gptq::io::awq_config>(awq).modules_to_not_convert == strings{module, "lm_head"});
    const auto compressed = to(folder / "mixed", layout::compressed_tensors, "ct");
    CHECK(std::get<gptq::io::compressed_config>(compressed).ignore == strings{module, "lm_head"});
    const auto gptq = to(folder / "awq", layout::gptq, "gptq");
    CHECK(std::get<gptq::io::gptq_config>(gptq).other["dynamic"].dump() ==
          R"({"-:^model\\.layers\\.0\\.self_attn\\.v_proj$":{}})");
    CHECK(weights(folder / "gptq") == weights(folder / "mixed"));
}

TEST_CASE("loaders that will refuse a layer are named with the reason") {
    const temp_folder folder;
    quantize(folder / "in", {.bits = 4, .group_size = 64, .sym = false});
    const auto source = checkpoint::open(folder / "in");
    loader_warnings warnings;
    for (const std::string& module : source.modules) warnings.add(module, source.load(module), source.how);
    std::ostringstream out;
    warnings.print(out);
    CHECK(out.str().find("vLLM (Marlin): the grid is asymmetric, expected a symmetric one (all layers)") !=
          std::string::npos);
    CHECK(out.str().find("ExLlamaV2") == std::string::npos);
}

TEST_CASE("what is no quantized model is refused") {
    CHECK_THROWS_AS(checkpoint::open(embedded), gptq::option_error);
    const temp_folder folder;
    CHECK_THROWS_AS(checkpoint::open(folder / "absent"), gptq::error);
    CHECK_THROWS_AS(take_inventory(folder / "absent"), gptq::file_error);
}

TEST_CASE("an inventory tells the checksum of every tensor's bytes") {
    const auto all = take_inventory(embedded);
    CHECK(all.format == "float");
    CHECK(all.layers.empty());
    const auto single = take_inventory(embedded / "model.safetensors");
    CHECK(single.checksum() == all.checksum());
    CHECK(single.bytes() == all.bytes());
    const temp_folder folder;
    folder.write("check.safetensors", std::string("\x38\0\0\0\0\0\0\0", 8) +
                                          R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}   )" + "123456789");
    CHECK(take_inventory(folder / "check.safetensors").tensors[0].checksum == 0xCBF43926);  // the check value of CRC-32
}

}  // namespace convert_test
