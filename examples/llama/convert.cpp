#include "convert.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include <gptq/core/error.hpp>

#include "convert_target.hpp"
#include "model_folder.hpp"

namespace llama {
namespace {

using gptq::packed_linear;
using gptq::detail::fail;
using gptq::io::quantization;
using gptq::io::stored_tensor;

bool is_compressed(const quantization& how) { return std::holds_alternative<gptq::io::compressed_config>(how); }

/// "model.layers.0.mlp.up_proj" and ".qweight"
std::pair<std::string, std::string_view> split(std::string_view tensor) {
    const auto dot = std::min(tensor.rfind('.'), tensor.size());
    return {std::string(tensor.substr(0, dot)), tensor.substr(dot)};
}

/// Whether it is one of the tensors that a packed layer consists of. A bias is as it was.
bool is_packed(const checkpoint& source, std::string_view tensor) {
    constexpr std::array<std::string_view, 4> words = {".qweight", ".qzeros", ".scales", ".g_idx"};
    constexpr std::array<std::string_view, 5> compressed = {".weight_packed", ".weight_scale", ".weight_shape",
                                                            ".weight_zero_point", ".weight_g_idx"};
    const auto [module, suffix] = split(tensor);
    const bool of_layer = is_compressed(source.how) ? std::ranges::find(compressed, suffix) != compressed.end()
                                                    : std::ranges::find(words, suffix) != words.end();
    return of_layer && std::ranges::binary_search(source.modules, module);
}

/// A source's layers, as the new checkpoint has them.
class converter {
public:
    converter(const checkpoint& source, const convert_options& options)
        : source_(source), requantize_(options.requantize), target_(options.to) {
        for (const std::string& module : source.modules) survey(module);
        how_ = target_.config(source_, facts_);
    }

    [[nodiscard]] const quantization& how() const noexcept { return how_; }

    struct layer {
        packed_linear packed;
        std::vector<stored_tensor> tensors;
        bool requantized = false;
    };

    [[nodiscard]] layer load(const std::string& module) const {
        packed_linear p = with_order(module, source_.load(module));
        p.bias.clear();
        try {
            return finished(module, target_.exactly(p), false);
        } catch (const gptq::error& e) {
            if (!requantize_)
                fail<gptq::option_error>(module, " cannot be converted exactly: ", e.what(),
                                         "; --requantize rounds such layers anew, which is lossy");
        }
        return finished(module, target_.rounded(p, how_), true);
    }

private:
    [[nodiscard]] layer finished(const std::string& module, packed_linear p, bool requantized) const {
        auto contents = tensors(module, p, how_);
        return {std::move(p), std::move(contents), requantized};
    }

    void survey(const std::string& module) {
        const packed_linear p = source_.load(module);
        layer_facts& facts = facts_[module];
        facts = {.bits = p.bits, .sym = gptq::is_symmetric(p), .scattered = !gptq::groups_are_runs(p.g_idx)};
        if (facts.scattered && !target_.has_g_idx() && free_order_of(module, p.g_idx)) facts.scattered = false;
    }

    /// The inputs of a down projection are in whatever order the outputs of gate and up projections are in: where all
    /// three are packed, and nothing else hangs on that order, it is made that of the groups.
    bool free_order_of(const std::string& module, const std::vector<std::int32_t>& g_idx) {
        constexpr std::string_view down = "down_proj";
        if (!module.ends_with(down)) return false;
        const std::string block = module.substr(0, module.size() - down.size());
        const std::array<std::string, 2> before = {block + "gate_proj", block + "up_proj"};
        for (const std::string& name : before)
            if (!std::ranges::binary_search(source_.modules, name) || source_.files.contains(name + ".bias"))
                return false;
        inputs_[module] = gptq::grouped_order(g_idx);
        for (const std::string& name : before) outputs_[name] = inputs_[module];
        return true;
    }

    [[nodiscard]] packed_linear with_order(const std::string& module, packed_linear p) const {
        if (const auto order = inputs_.find(module); order != inputs_.end())
            p = gptq::permute_inputs(std::move(p), order->second);
        if (const auto order = outputs_.find(module); order != outputs_.end())
            p = gptq::permute_outputs(p, order->second);
        return p;
    }

    const checkpoint& source_;
    bool requantize_;
    target target_;
    facts_by_module facts_;
    std::map<std::string, std::vector<std::size_t>> inputs_, outputs_;  ///< orders to put them in
    quantization how_;
};

}  // namespace

checkpoint checkpoint::open(const std::filesystem::path& folder) {
    auto how = gptq::io::find_quantization(folder);
    if (!how) fail<gptq::option_error>(folder.string(), ": is not quantized: there is nothing to convert");
    checkpoint result{folder, gptq::io::model_files::open(folder), std::move(*how), {}};
    const std::string_view codes = is_compressed(result.how) ? ".weight_packed" : ".qweight";
    for (const auto& tensor : result.files.tensors())
        if (auto [module, suffix] = split(tensor.name); suffix == codes) result.modules.push_back(std::move(module));
    if (result.modules.empty())
        fail<gptq::option_error>(folder.string(),
                                 ": has no packed tensors, though its configuration says that it is quantized");
    std::ranges::sort(result.modules);
    return result;
}

quantization convert(const checkpoint& source, gptq::io::atomic_folder& folder, const convert_options& options,
                     const on_layer& done) {
    const converter layers(source, options);
    std::vector<gptq::io::tensor_declaration> declared;
    for (const auto& tensor : source.files.tensors())
        if (!is_packed(source, tensor.name)) declared.push_back({tensor.name, tensor.type, tensor.shape});
    const std::size_t kept = declared.size();
    for (const std::string& module : source.modules)  // a first time: what cannot be converted is refused before a byte
        for (auto& tensor : layers.load(module).tensors) declared.push_back(std::move(tensor.declaration));

    gptq::io::model_writer writer(folder.path(), declared, options.largest_shard);
    for (std::size_t i = 0; i < kept; ++i) writer.write(declared[i].name, source.files.at(declared[i].name).bytes);
    std::size_t count = 0;
    for (const std::string& module : source.modules) {
        const converter::layer layer = layers.load(module);
        for (const stored_tensor& tensor : layer.tensors) writer.write(tensor.declaration.name, tensor.bytes);
        done({module, layer.packed, layers.how(), layer.requantized, ++count, source.modules.size()});
    }
    writer.finish();
    copy_small_files(source.folder, folder.path());
    write_config(folder.path(), layers.how());
    folder.commit();
    return layers.how();
}

}  // namespace llama
