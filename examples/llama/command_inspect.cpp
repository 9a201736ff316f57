#include <cstdio>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "inventory.hpp"
#include "settings.hpp"

namespace llama {
namespace {

std::string hex(std::uint32_t checksum) {
    char text[9];
    std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(checksum));
    return text;
}

std::string shape_text(const std::vector<std::size_t>& shape) {
    std::string result;
    for (const std::size_t n : shape) result += (result.empty() ? "" : "x") + std::to_string(n);
    return result.empty() ? "scalar" : result;
}

nlohmann::ordered_json to_json(const inventory& all) {
    nlohmann::ordered_json tensors = nlohmann::ordered_json::array(), layers = nlohmann::ordered_json::array();
    for (const auto& t : all.tensors)
        tensors.push_back(
            {{"name", t.name}, {"dtype", t.type}, {"shape", t.shape}, {"bytes", t.bytes}, {"crc32", hex(t.checksum)}});
    for (const auto& l : all.layers)
        layers.push_back({{"name", l.name},
                          {"type", l.type},
                          {"out_features", l.out_features},
                          {"in_features", l.in_features},
                          {"bits", l.bits},
                          {"groups", l.groups},
                          {"sym", l.sym},
                          {"act_order", l.act_order},
                          {"weights_crc32", hex(l.weights)}});
    return {{"path", all.path.string()},
            {"format", all.format},
            {"config", nlohmann::ordered_json::parse(all.description)},
            {"bytes", all.bytes()},
            {"crc32", hex(all.checksum())},
            {"layers", std::move(layers)},
            {"tensors", std::move(tensors)}};
}

void print_config(const inventory& all) {
    const auto config = nlohmann::ordered_json::parse(all.description);
    for (const auto& [key, value] : config.items()) std::cout << "  " << key << ": " << value.dump() << '\n';
}

int width_of_names(const inventory& all) {
    std::size_t width = 5;
    for (const auto& t : all.tensors) width = std::max(width, t.name.size());
    return static_cast<int>(width) + 2;
}

void print(const inventory& all) {
    std::cout << all.path.string() << ": " << all.format << '\n';
    print_config(all);
    const int width = width_of_names(all);
    if (!all.layers.empty())
        std::cout << '\n'
                  << std::left << std::setw(width) << "layer" << std::setw(20) << "type" << std::setw(6) << "bits"
                  << std::setw(14) << "out x in" << std::setw(8) << "groups"
                  << "crc32 of weights\n";
    for (const auto& l : all.layers)
        std::cout << std::left << std::setw(width) << l.name << std::setw(20) << l.type << std::setw(6) << l.bits
                  << std::setw(14) << shape_text({l.out_features, l.in_features}) << std::setw(8) << l.groups
                  << hex(l.weights) << (l.sym ? "" : "  asymmetric") << (l.act_order ? "  act-order" : "") << '\n';
    std::cout << '\n'
              << std::left << std::setw(width) << "tensor" << std::setw(10) << "dtype" << std::setw(14) << "shape"
              << std::right << std::setw(14) << "bytes"
              << "  crc32\n";
    for (const auto& t : all.tensors)
        std::cout << std::left << std::setw(width) << t.name << std::setw(10) << t.type << std::setw(14)
                  << shape_text(t.shape) << std::right << std::setw(14) << t.bytes << "  " << hex(t.checksum) << '\n';
    std::cout << std::left << std::setw(width + 24) << "all" << std::right << std::setw(14) << all.bytes() << "  "
              << hex(all.checksum()) << '\n';
}

}  // namespace

void add_inspect(CLI::App& app) {
    struct inspect_settings {
        std::string source;
        bool json = false;
    };
    auto s = std::make_shared<inspect_settings>();
    CLI::App* command =
        app.add_subcommand("inspect", "What a model holds: tensors, quantized layers, sizes, checksums");
    command->add_option("MODEL", s->source, "Hugging Face folder, float or quantized; .safetensors or .gguf file")
        ->required();
    command->add_flag("--json", s->json, "Print JSON");
    command->callback([s] {
        const inventory all = take_inventory(s->source);
        if (s->json)
            std::cout << to_json(all).dump(2) << '\n';
        else
            print(all);
    });
}

}  // namespace llama
