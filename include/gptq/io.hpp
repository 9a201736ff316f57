// All of gptq::io: safetensors and GGUF files, model folders, the checkpoints of GPTQ, AWQ and compressed-tensors, and
// the conversions between them. Needs nlohmann-json.
#pragma once

// IWYU pragma: begin_exports
#include <gptq/io/atomic_folder.hpp>
#include <gptq/io/awq_config.hpp>
#include <gptq/io/awq_load.hpp>
#include <gptq/io/awq_store.hpp>
#include <gptq/io/compressed_tensors_config.hpp>
#include <gptq/io/compressed_tensors_load.hpp>
#include <gptq/io/compressed_tensors_store.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gguf.hpp>
#include <gptq/io/gguf_value.hpp>
#include <gptq/io/gguf_writer.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/io/gptq_store.hpp>
#include <gptq/io/hessian_file.hpp>
#include <gptq/io/loader_advice.hpp>
#include <gptq/io/mapped_file.hpp>
#include <gptq/io/model_files.hpp>
#include <gptq/io/model_writer.hpp>
#include <gptq/io/partial_file.hpp>
#include <gptq/io/quantization.hpp>
#include <gptq/io/report_json.hpp>
#include <gptq/io/safetensors.hpp>
#include <gptq/io/safetensors_writer.hpp>
#include <gptq/io/tensor.hpp>
#include <gptq/io/tile_file.hpp>

#include <gptq/pack/awq.hpp>
#include <gptq/pack/compressed.hpp>
#include <gptq/pack/ggml_block_grid.hpp>
#include <gptq/pack/ggml_convert.hpp>
#include <gptq/pack/ggml_dequantize.hpp>
#include <gptq/pack/groups.hpp>
#include <gptq/pack/row_order.hpp>
// IWYU pragma: end_exports
