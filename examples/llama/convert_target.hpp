// What a layout asks of a checkpoint: its configuration, its tensors, and how a layer that it cannot hold is rounded.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <gptq/gptq.hpp>

#include "convert.hpp"

namespace llama {

/// What of a layer the configuration depends on.
struct layer_facts {
    unsigned bits = 4;
    bool sym = true;
    bool scattered = false;  ///< groups are not neighbouring inputs (act-order)
};
using facts_by_module = std::map<std::string, layer_facts>;

class target {
public:
    explicit target(layout to) noexcept : to_(to) {}

    /// Whether the layout says which group an input is in.
    [[nodiscard]] bool has_g_idx() const noexcept { return to_ != layout::awq; }

    /// For all layers at once. One that does not fit into it is refused later, or rounded.
    [[nodiscard]] gptq::io::quantization config(const checkpoint& source, const facts_by_module& facts) const;

    /// The same layer with zero points as the layout stores them.
    /// @throws gptq::option_error  it cannot
    [[nodiscard]] gptq::packed_linear exactly(gptq::packed_linear p) const;

    /// A layer that the layout can hold.
    [[nodiscard]] gptq::packed_linear rounded(const gptq::packed_linear& p, const gptq::io::quantization& how) const;

private:
    layout to_;
};

/// A layer as its tensors.
/// @throws gptq::error  the checkpoint's configuration does not fit the layer
[[nodiscard]] std::vector<gptq::io::stored_tensor> tensors(const std::string& module, const gptq::packed_linear& p,
                                                           const gptq::io::quantization& how);

/// The configuration of one layer of a GPTQ checkpoint, which may be a mixed one; nothing for other checkpoints.
[[nodiscard]] std::optional<gptq::io::gptq_config> gptq_config_of(const gptq::packed_linear& p,
                                                                  const gptq::io::quantization& how);

/// Writes the configuration to where loaders look.
void write_config(const std::filesystem::path& folder, const gptq::io::quantization& how);

}  // namespace llama
