#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "settings.hpp"

namespace llama {
namespace {

std::string shape_text(const std::vector<std::size_t>& shape) {
    std::string result;
    for (const std::size_t n : shape) result += (result.empty() ? "" : "x") + std::to_string(n);
    return result.empty() ? "scalar" : result;
}

std::size_t total_bytes(const model_source& source) {
    std::size_t total = 0;
    for (const auto& tensor : source.files.tensors()) total += tensor.bytes.size();
    return total;
}

nlohmann::json to_json(const model_source& source) {
    nlohmann::json tensors = nlohmann::json::array();
    for (const auto& t : source.files.tensors())
        tensors.push_back(
            {{"name", t.name}, {"dtype", gptq::io::name(t.type)}, {"shape", t.shape}, {"bytes", t.bytes.size()}});
    nlohmann::json j = {{"folder", source.folder.string()},
                        {"layers", source.shape.layers},
                        {"hidden_size", source.shape.hidden_size},
                        {"intermediate_size", source.shape.intermediate_size},
                        {"heads", source.shape.heads},
                        {"kv_heads", source.shape.kv_heads},
                        {"vocab_size", source.shape.vocab_size},
                        {"bytes", total_bytes(source)},
                        {"tensors", std::move(tensors)}};
    if (source.quantization) j["quantization"] = gptq::io::to_json(*source.quantization);
    return j;
}

void print(const model_source& source) {
    const config& c = source.shape;
    std::cout << source.folder.string() << ": LLaMA, " << c.layers << " layers, hidden " << c.hidden_size
              << ", intermediate " << c.intermediate_size << ", " << c.heads << " heads (" << c.kv_heads
              << " key/value), vocabulary " << c.vocab_size << '\n';
    if (source.quantization) {
        const auto& q = *source.quantization;
        std::cout << "GPTQ: " << q.bits << " bits, group size " << q.group_size << ", "
                  << (q.sym ? "symmetric" : "asymmetric") << ", " << gptq::io::checkpoint_format(q.zeros)
                  << (q.desc_act ? ", act-order" : "") << '\n';
    } else {
        std::cout << "not quantized\n";
    }
    for (const auto& t : source.files.tensors())
        std::cout << std::left << std::setw(52) << t.name << std::setw(8) << gptq::io::name(t.type) << std::setw(14)
                  << shape_text(t.shape) << std::right << std::setw(12) << t.bytes.size() << '\n';
    std::cout << std::left << std::setw(74) << "total bytes" << std::right << std::setw(12) << total_bytes(source)
              << '\n';
}

}  // namespace

void add_inspect(CLI::App& app) {
    struct inspect_settings {
        std::string source;
        bool json = false;
    };
    auto s = std::make_shared<inspect_settings>();
    CLI::App* command = app.add_subcommand("inspect", "What a model folder holds");
    command->add_option("MODEL", s->source, "Hugging Face folder of a LLaMA model")->required();
    command->add_flag("--json", s->json, "Print JSON");
    command->callback([s] {
        const auto source = model_source::open(s->source);
        if (s->json)
            std::cout << to_json(source).dump(2) << '\n';
        else
            print(source);
    });
}

}  // namespace llama
