// The half of gguf_check.py that is this library's. Reads a GGUF file, and writes another that holds
//     metadata             of the first, all of it
//     <name>.floats        each of its tensors as floats
//     layer.<bits>.blocks  layers of random codes, scales and zero points, as the smallest block type that is exact
//     layer.<bits>.values  what their weights are
#include <cstdio>
#include <exception>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gptq/io/gguf.hpp>
#include <gptq/io/gguf_writer.hpp>
#include <gptq/pack/ggml_convert.hpp>

namespace {

using namespace gptq;

struct content {
    io::gguf_declaration declaration;
    std::vector<std::byte> bytes;
};

content floats_of(std::string name, const std::vector<std::size_t>& shape, const std::vector<float>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return {{std::move(name), ggml_type::f32, shape}, {bytes.begin(), bytes.end()}};
}

quantized<uniform_grid> random_layer(std::mt19937& random, unsigned bits, bool sym) {
    quantized<uniform_grid> q;
    q.grid = {.bits = bits, .group_size = 64, .sym = sym};
    q.out_features = 48;
    q.in_features = 256;
    q.g_idx = natural_g_idx(q.in_features, 64);
    for (std::size_t i = 0; i < q.out_features * q.in_features; ++i)
        q.codes.push_back(static_cast<std::uint8_t>(random() & q.grid.maxq()));
    const auto middle = static_cast<float>((q.grid.maxq() + 1) / 2);
    for (std::size_t i = 0; i < q.out_features * q.groups(); ++i) {
        const float scale = to_float(f16{static_cast<std::uint16_t>(random() & 0xBFFFU)});  // below 2, of either sign
        q.parameters.push_back({scale, sym ? middle : static_cast<float>(random() & q.grid.maxq())});
    }
    return q;
}

void add_layers(std::vector<content>& contents) {
    std::mt19937 random(1);
    for (unsigned bits = 2; bits <= 8; ++bits)
        for (const bool sym : {false, true}) {
            if (bits == 8 && !sym) continue;
            const auto q = random_layer(random, bits, sym);
            const std::vector<std::size_t> shape{q.out_features, q.in_features};
            const std::string name = detail::text("layer.", bits, sym ? "-sym" : "");
            const ggml_type type = exact_ggml_type(q);
            contents.push_back({{name + ".blocks", type, shape}, to_ggml(q, type)});
            std::vector<float> values(q.codes.size());
            dequantize_into(q, view_of(values.data(), q.out_features, q.in_features));
            contents.push_back(floats_of(name + ".values", shape, values));
        }
}

void answer(const char* question, const char* path) {
    const auto file = io::gguf::open(question);
    std::vector<content> contents;
    for (const io::gguf_tensor& tensor : file.tensors())
        contents.push_back(floats_of(tensor.name + ".floats", tensor.shape, to_floats(tensor)));
    add_layers(contents);
    std::vector<io::gguf_declaration> declarations;
    for (const content& c : contents) declarations.push_back(c.declaration);
    io::gguf_writer writer(path, file.metadata(), declarations);
    for (const content& c : contents) writer.write(c.declaration.name, c.bytes);
    writer.finish();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc != 3) throw gptq::option_error("usage: gguf_check QUESTION.gguf ANSWER.gguf");
        answer(argv[1], argv[2]);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
