// Tensors into a file, and out of it again.
#include <gptq/io.hpp>

#include <cstdio>
#include <span>
#include <vector>

int main() {
    const std::vector<float> scales{1, 0.5F, 0.25F};
    const gptq::io::tensor_declaration declared[] = {{"scales", gptq::io::dtype::F32, {3}}};
    gptq::io::safetensors_writer writer("scales.safetensors", declared);
    writer.write("scales", std::as_bytes(std::span(scales)));
    writer.finish();

    const auto file = gptq::io::safetensors::open("scales.safetensors");
    std::printf("%zu tensor\n", file.tensors().size());
    return gptq::io::to_floats(file.at("scales")) == scales ? 0 : 1;
}
