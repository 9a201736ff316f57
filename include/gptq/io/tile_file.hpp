// Re-tiled layers in a file, mapped back without a copy: an engine that has made them once starts at once from then on.
//
//     a safetensors file of one U8 tensor per layer, its image (gptq/kernels/image.hpp), at a multiple of 64 bytes
//     metadata "gptq_file": "tiles", for who wonders what it is
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/error.hpp>
#include <gptq/core/shared_array.hpp>
#include <gptq/io/dtype.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/io/safetensors_writer.hpp>
#include <gptq/io/tensor.hpp>
#include <gptq/kernels/linear.hpp>

namespace gptq::io {

/// A layer and what it is called in a file.
struct named_layer {
    std::string name;  ///< UTF-8
    linear layer;      ///< copies share memory
};

/// Writes the layers' images. The file appears under its name when it is complete.
/// @throws option_error  a name twice, not UTF-8, or reserved
/// @throws file_error    the folder is absent or not writable; another process is writing the same file
inline void save_tiles(const std::filesystem::path& path, const std::vector<named_layer>& layers) {
    std::vector<tensor_declaration> tensors;
    tensors.reserve(layers.size());
    for (const auto& [name, layer] : layers) tensors.push_back({name, dtype::U8, {layer.image().size()}});
    safetensors_writer writer(path, tensors, {{"gptq_file", "tiles"}});
    for (const auto& [name, layer] : layers) writer.write(name, layer.image());
    writer.finish();
}

/// One layer of such a file, multiplied from the file's own pages if it lies at a multiple of 64, as save_tiles has it,
/// and the machine is little-endian, as most are.
/// @throws format_error   no such tensor, or not the image of a layer: which field, what was expected
/// @throws numeric_error  a scale that is not finite
template <tensor_files F>
[[nodiscard]] linear load_tiles(const F& files, std::string_view name) {
    const tensor_ref& tensor = files.at(name);
    impl::expect_type(tensor, dtype::U8);
    try {
        return linear(shared_array<std::byte>(tensor.bytes, tensor.file));
    } catch (const format_error& e) {
        gptq::detail::fail<format_error>(describe(tensor), ": ", e.what());
    } catch (const numeric_error& e) {
        gptq::detail::fail<numeric_error>(describe(tensor), ": ", e.what());
    }
}

}  // namespace gptq::io
