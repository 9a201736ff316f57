// All of gptq::io: files, safetensors, model folders, GPTQ checkpoints. Needs nlohmann-json.
#pragma once

#include <gptq/io/atomic_folder.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/floats.hpp>
#include <gptq/io/gptq_config.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/io/gptq_store.hpp>
#include <gptq/io/hessian_file.hpp>
#include <gptq/io/mapped_file.hpp>
#include <gptq/io/model_files.hpp>
#include <gptq/io/partial_file.hpp>
#include <gptq/io/report_json.hpp>
#include <gptq/io/safetensors.hpp>
#include <gptq/io/safetensors_writer.hpp>
#include <gptq/io/tensor.hpp>
