#include "convert_target.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <variant>

#include <gptq/core/error.hpp>

namespace llama {
namespace {

namespace io = gptq::io;
using gptq::packed_linear;

/// One lambda for each alternative of a variant.
template <class... F>
struct overloaded : F... {
    using F::operator()...;
};
template <class... F>
overloaded(F...) -> overloaded<F...>;  // which clang 16 does not find by itself

std::ptrdiff_t group_size_of(const io::quantization& how) {
    return std::visit([](const auto& config) { return config.group_size; }, how);
}

/// The bits that most layers have.
unsigned usual_bits(const facts_by_module& facts) {
    std::map<unsigned, std::size_t> counts;
    for (const auto& [module, f] : facts) ++counts[f.bits];
    return std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })->first;
}

/// Linear modules that are left as floats, but for the head.
std::vector<std::string> float_modules(const checkpoint& source) {
    constexpr std::string_view weight = ".weight";
    std::vector<std::string> names;
    for (const auto& tensor : source.files.tensors()) {
        if (!tensor.name.ends_with(weight) || tensor.shape.size() != 2) continue;
        const std::string module = tensor.name.substr(0, tensor.name.size() - weight.size());
        if (module != "lm_head" && module.find("embed") == module.npos) names.push_back(module);
    }
    return names;
}

bool quantizes_head(const facts_by_module& facts) { return facts.contains("lm_head"); }

/// A regular expression that matches this name alone.
std::string exactly_named(const std::string& module) {
    std::string pattern = "^";
    for (const char c : module) {
        if (c == '.') pattern += '\\';
        pattern += c;
    }
    return pattern + "$";
}

io::gptq_config gptq_config_for(const checkpoint& source, const facts_by_module& facts) {
    if (const auto* same = std::get_if<io::gptq_config>(&source.how)) return *same;
    io::gptq_config config;
    config.bits = usual_bits(facts);
    config.group_size = group_size_of(source.how);
    config.desc_act = std::ranges::any_of(facts, [](const auto& f) { return f.second.scattered; });
    config.sym = std::ranges::all_of(facts, [](const auto& f) { return f.second.sym; });
    config.lm_head = quantizes_head(facts);
    for (const std::string& module : float_modules(source))
        config.other["dynamic"]["-:" + exactly_named(module)] = nlohmann::ordered_json::object();
    return config;
}

io::awq_config awq_config_for(const checkpoint& source, const facts_by_module& facts) {
    if (const auto* same = std::get_if<io::awq_config>(&source.how)) return *same;
    io::awq_config config;
    config.group_size = group_size_of(source.how);
    config.sym = false;  // zero points are stored in any case, and some loaders take no file that says it has none
    config.modules_to_not_convert = float_modules(source);
    if (!config.modules_to_not_convert.empty() && !quantizes_head(facts))
        config.modules_to_not_convert.emplace_back("lm_head");  // which goes without saying only where nothing is said
    return config;
}

io::compressed_config compressed_config_for(const checkpoint& source, const facts_by_module& facts) {
    if (const auto* same = std::get_if<io::compressed_config>(&source.how)) return *same;
    io::compressed_config config;
    config.bits = usual_bits(facts) == 3 ? 4 : usual_bits(facts);  // 3 bits are laid out differently by older readers
    config.group_size = group_size_of(source.how);
    config.sym = std::ranges::all_of(facts, [](const auto& f) { return f.second.sym; });
    if (std::ranges::any_of(facts, [](const auto& f) { return f.second.scattered; }))
        config.order = io::column_order::dynamic_groups;
    config.ignore = float_modules(source);
    if (!quantizes_head(facts)) config.ignore.emplace_back("lm_head");
    return config;
}

}  // namespace

std::optional<io::gptq_config> gptq_config_of(const packed_linear& p, const io::quantization& how) {
    const auto* checkpoint = std::get_if<io::gptq_config>(&how);
    if (checkpoint == nullptr) return std::nullopt;
    const auto fits = [&p](const io::gptq_variant& v) {
        return v.bits == p.bits && gptq::group_count(p.in_features, v.group_size) == p.groups;
    };
    io::gptq_config config = *checkpoint;
    if (fits({config.bits, config.group_size})) return config;
    if (const auto variant = std::ranges::find_if(config.variants, fits); variant != config.variants.end()) {
        config.bits = variant->bits;
        config.group_size = variant->group_size;
    }
    return config;
}

io::quantization target::config(const checkpoint& source, const facts_by_module& facts) const {
    if (to_ == layout::awq) return awq_config_for(source, facts);
    if (to_ == layout::compressed_tensors) return compressed_config_for(source, facts);
    io::gptq_config config = gptq_config_for(source, facts);
    config.zeros = to_ == layout::gptq ? gptq::zero_format::v1 : gptq::zero_format::v2;
    return config;
}

packed_linear target::exactly(packed_linear p) const {
    if (to_ == layout::gptq) return gptq::with_zeros(std::move(p), gptq::zero_format::v1);
    if (to_ == layout::gptq_v2) return gptq::with_zeros(std::move(p), gptq::zero_format::v2);
    return p;
}

packed_linear target::rounded(const packed_linear& p, const io::quantization& how) const {
    gptq::uniform_grid grid{.group_size = group_size_of(how)};
    std::visit(overloaded{[&](const io::gptq_config& c) { grid.bits = c.bits, grid.sym = c.sym; },
                          [&](const io::awq_config& c) { grid.sym = c.sym; },
                          [&](const io::compressed_config& c) { grid.bits = c.bits, grid.sym = c.sym; }},
               how);
    if (to_ == layout::gptq) grid.sym = true;  // v1 cannot hold a zero point of 0
    return exactly(gptq::pack(gptq::requantize(gptq::unpack(p), grid)));
}

std::vector<io::stored_tensor> tensors(const std::string& module, const packed_linear& p, const io::quantization& how) {
    return std::visit(
        overloaded{[&](const io::gptq_config&) { return io::gptq_tensors(module, p, *gptq_config_of(p, how)); },
                   [&](const io::awq_config& c) { return io::awq_tensors(module, p, c); },
                   [&](const io::compressed_config& c) {
                       return io::compressed_tensors(module, gptq::to_compressed(p, c.sym), c);
                   }},
        how);
}

void write_config(const std::filesystem::path& folder, const io::quantization& how) {
    std::visit(overloaded{[&](const io::gptq_config& c) { io::write_gptq_config(folder, c); },
                          [&](const io::awq_config& c) { io::write_awq_config(folder, c); },
                          [&](const io::compressed_config& c) { io::write_compressed_config(folder, c); }},
               how);
}

}  // namespace llama
