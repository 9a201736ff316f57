// What files cannot be read from, or written of, is refused by name. Never linked.
#include <gptq/io/gguf.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/io/hessian_file.hpp>
#include <gptq/io/safetensors.hpp>

#include <string>

#include <gptq/calib/hessian.hpp>

#include "rejected/pick.hpp"

using namespace gptq;

void read_and_write(const std::string& path, const io::safetensors& file, const io::gguf& gguf, const hessian<>& h,
                    const matrix<float>& m) {
    static_cast<void>(io::load_gptq(pick(path, file), "layer", {}));  // refused: tensor_files, files.contains
    io::save_hessian(path, pick(m, h));                               // refused: storable_hessian, h.in_features()
    static_cast<void>(io::load_hessian<pick_type<double, hessian<>>>(file));  // refused: storable_hessian, value_type
    static_cast<void>(gguf.value<pick_type<const char*, std::string>>("general.name"));  // refused: gguf_value_type
}
