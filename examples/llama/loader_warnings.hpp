// Which programs will not load a checkpoint, said where it is written and not where it fails.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <map>
#include <string>

#include <gptq/gptq.hpp>

namespace llama {

class loader_warnings {
public:
    /// A layer of the checkpoint.
    void add(const std::string& module, const gptq::packed_linear& p, const gptq::io::quantization& how);

    /// A line for each program and reason; nothing where all programs take all layers.
    void print(std::ostream& out) const;

private:
    struct layers {
        std::string first;
        std::size_t count = 0;
    };
    std::map<std::string, layers> by_refusal_;  ///< "vLLM (Marlin): group_size is 16, expected …"
    std::size_t count_ = 0;
};

}  // namespace llama
