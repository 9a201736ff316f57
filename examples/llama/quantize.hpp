// The main job: a float model in, a GPTQ checkpoint out, one layer in memory at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include <gptq/gptq.hpp>

#include "model.hpp"
#include "windows.hpp"

namespace llama {

enum class method {
    gptq,
    nearest,  ///< rounding to nearest: the baseline; needs no calibration
};

struct quantize_options {
    gptq::uniform_grid grid = {};
    method how = method::gptq;
    gptq::act_order order = gptq::act_order::group_aware;
    bool static_groups = false;
    double damp_percent = 0.01;
    /// Calibrate each group of projections on the outputs of those already quantized, also inside a layer.
    /// Otherwise a layer's projections are all calibrated on its float outputs: fewer passes, a little worse.
    bool true_sequential = true;
    /// Let each projection also make up for the errors of those before it; strength 0 does not. Takes a forward pass of
    /// the float model beside that of the quantized one.
    gptq::asymmetric_options asymmetric = {};
};

/// One projection is done. The report is empty for rounding to nearest.
struct quantized_projection {
    const std::string& name;  ///< "model.layers.0.self_attn.q_proj"
    const gptq::packed_linear& packed;
    const gptq::solve_report* report;
    std::size_t done, whole;  ///< projections
};
using on_projection = std::function<void(const quantized_projection&)>;

/// What the checkpoint says of itself.
[[nodiscard]] gptq::io::gptq_config checkpoint_config(const quantize_options& options);

/// @throws gptq::option_error  the model is quantized already
void expect_float_model(const model_source& source);

/// Quantizes all projections of all layers, in order, and hands each one on.
/// @param calibration  windows of token ids; unused for rounding to nearest
/// @throws gptq::option_error  the model is quantized already, or the options contradict each other
void quantize_layers(const model_source& source, const quantize_options& options, const windows& calibration,
                     gptq::thread_pool& pool, const on_projection& done);

/// The same into a new model folder, and commits it: what is interrupted leaves no folder that looks complete.
void quantize_to_folder(const model_source& source, gptq::io::atomic_folder& folder, const quantize_options& options,
                        const windows& calibration, gptq::thread_pool& pool, const on_projection& done);

}  // namespace llama
