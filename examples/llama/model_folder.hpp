// The files of a model folder beside its weights.
#pragma once

#include <filesystem>

namespace llama {

/// Copies config.json and the small files that make a folder a model: tokenizer, generation settings, licence. No
/// weights, no other formats, and no configuration of quantization but that in config.json.
/// @throws std::filesystem::filesystem_error
void copy_small_files(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace llama
