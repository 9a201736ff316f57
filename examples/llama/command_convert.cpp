#include <filesystem>
#include <gptq/core/error.hpp>
#include <iostream>
#include <map>
#include <memory>

#include "commands.hpp"
#include "convert.hpp"
#include "gguf_export.hpp"
#include "loader_warnings.hpp"
#include "settings.hpp"

namespace llama {
namespace {

struct convert_settings {
    std::string source, out, to;
    bool requantize = false, all_ones_are_zero = false;
    std::uint64_t largest_shard = 0;
    std::string floats = "f16";
};

const std::map<std::string, layout> layouts = {{"gptq", layout::gptq},
                                               {"gptq_v2", layout::gptq_v2},
                                               {"awq", layout::awq},
                                               {"compressed-tensors", layout::compressed_tensors}};
const std::map<std::string, float_type> float_types = {
    {"f32", float_type::f32}, {"f16", float_type::f16}, {"q8_0", float_type::q8_0}};

void to_folder(const convert_settings& s) {
    auto source = checkpoint::open(s.source);
    if (auto* config = std::get_if<gptq::io::gptq_config>(&source.how)) config->all_ones_are_zero = s.all_ones_are_zero;
    gptq::io::atomic_folder folder(s.out);
    const convert_options options{layouts.at(s.to), s.requantize, s.largest_shard};
    progress_bar bar("converting");
    loader_warnings warnings;
    std::size_t requantized = 0;
    convert(source, folder, options, [&](const converted_layer& layer) {
        bar.show(layer.done, layer.whole);
        if (layer.requantized) {
            bar.clear();
            std::cout << layer.name << "  rounded anew\n";
            ++requantized;
        }
        warnings.add(layer.name, layer.packed, layer.how);
    });
    bar.clear();
    std::cout << "wrote " << s.out << ": " << source.modules.size() << " layers as " << s.to << ", "
              << (requantized == 0 ? "every weight as it was" : std::to_string(requantized) + " of them rounded anew")
              << '\n';
    warnings.print(std::cout);
}

void to_gguf(const convert_settings& s) {
    if (std::filesystem::exists(s.out))
        gptq::detail::fail<gptq::file_error>(s.out, ": already exists; remove it, or choose another file");
    auto source = model_source::open(s.source);
    if (source.quantization)
        if (auto* config = std::get_if<gptq::io::gptq_config>(&*source.quantization))
            config->all_ones_are_zero = s.all_ones_are_zero;
    progress_bar bar("converting");
    std::map<std::string_view, std::size_t> counts;
    const auto remarks =
        write_gguf(source, s.out, {float_types.at(s.floats), s.requantize}, [&](const gguf_progress& p) {
            ++counts[gptq::name(p.type)];
            if (p.requantized) {
                bar.clear();
                std::cout << p.name << "  rounded anew\n";
            }
            bar.show(p.done, p.whole);
        });
    bar.clear();
    std::cout << "wrote " << s.out << ':';
    for (const auto& [type, count] : counts) std::cout << ' ' << count << ' ' << type;
    std::cout << " tensors\n";
    for (const std::string& remark : remarks) std::cout << remark << '\n';
}

}  // namespace

void add_convert(CLI::App& app) {
    auto s = std::make_shared<convert_settings>();
    CLI::App* command =
        app.add_subcommand("convert", "Write a quantized model in another format, every weight as it was");
    command->add_option("IN", s->source, "Hugging Face folder: GPTQ, AWQ or compressed-tensors; for gguf also float")
        ->required();
    command->add_option("OUT", s->out, "Folder to write, or file for gguf; must not exist")
        ->required()
        ->check(not_empty);
    command->add_option("--to", s->to, "Format to write")
        ->required()
        ->check(CLI::IsMember({"gptq", "gptq_v2", "awq", "compressed-tensors", "gguf"}));
    command->add_flag("--requantize", s->requantize,
                      "Round layers anew that the format cannot hold as they are: lossy (default: refuse)");
    command->add_flag("--all-ones-are-zero", s->all_ones_are_zero,
                      "Read v1 zero points of all ones, on whose meaning writers disagree, as 0");
    command
        ->add_option("--max-shard-size", s->largest_shard,
                     "Largest file, such as 5GB; a larger model becomes several (default: one file)")
        ->transform(CLI::AsSizeValue(true));
    command->add_option("--floats", s->floats, "For gguf: how embeddings and other float matrices are stored")
        ->check(CLI::IsMember({"f32", "f16", "q8_0"}))
        ->capture_default_str();
    command->callback([s] { s->to == "gguf" ? to_gguf(*s) : to_folder(*s); });
}

}  // namespace llama
