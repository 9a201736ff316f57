#include "loader_warnings.hpp"

#include <ostream>

namespace llama {

void loader_warnings::add(const std::string& module, const gptq::packed_linear& p,
                          const gptq::io::gptq_config& config) {
    ++count_;
    for (const auto& refusal : gptq::io::refusals({p.out_features, p.in_features, config, p.stored_scales}))
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
