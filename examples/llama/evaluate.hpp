// How good a model is: perplexity, and how far it has moved from a reference.
#pragma once

#include <cstddef>
#include <optional>

#include "model.hpp"
#include "windows.hpp"

namespace llama {

struct evaluation {
    std::size_t predictions = 0;
    double perplexity = 0;                 ///< exp of the mean negative log-likelihood in nats
    std::optional<double> kl_divergence;   ///< mean over predictions of KL(reference ‖ model), nats
    std::optional<double> top1_agreement;  ///< share of predictions whose most likely token is the reference's
    double seconds = 0;
};

/// Each window on its own, positions from 0; its first token is context only.
/// @param reference  nullptr for perplexity alone
[[nodiscard]] evaluation evaluate(const model& m, const model* reference, const windows& text, gptq::thread_pool& pool,
                                  const on_progress& progress);

}  // namespace llama
