#include "loader_warnings.hpp"

#include <ostream>
#include <span>
#include <variant>

#include "convert_target.hpp"

namespace llama {

namespace {

namespace io = gptq::io;

/// A layer as its checkpoint describes it.
io::gptq_config described(const gptq::packed_linear& p, const io::quantization& how) {
    if (const auto config = gptq_config_of(p, how)) return *config;
    io::gptq_config config;
    config.bits = p.bits;
    config.group_size = std::visit([](const auto& c) { return c.group_size; }, how);
    config.desc_act = !gptq::groups_are_runs(p.g_idx);
    config.sym = gptq::is_symmetric(p);
    return config;
}

std::span<const io::loader> loaders_of(const io::quantization& how) {
    if (std::holds_alternative<io::awq_config>(how)) return io::awq_loaders;
    if (std::holds_alternative<io::compressed_config>(how)) return io::compressed_tensors_loaders;
    return io::gptq_loaders;
}

}  // namespace

void loader_warnings::add(const std::string& module, const gptq::packed_linear& p, const io::quantization& how) {
    ++count_;
    for (const auto& refusal :
         io::refusals({p.out_features, p.in_features, described(p, how), p.stored_scales}, loaders_of(how)))
        for (const std::string& reason : refusal.reasons) {
            layers& those = by_refusal_[std::string(refusal.loader) + ": " + reason];
            if (those.count++ == 0) those.first = module;
        }
}

void loader_warnings::print(std::ostream& out) const {
    if (by_refusal_.empty()) return;
    out << "loaders and kernels that refuse it\n";
    for (const auto& [refusal, those] : by_refusal_) {
        out << "  " << refusal;
        if (those.count == count_)
            out << " (all layers)\n";
        else
            out << " (" << those.count << " of " << count_ << " layers, such as " << those.first << ")\n";
    }
}

}  // namespace llama
