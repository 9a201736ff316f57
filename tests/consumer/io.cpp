#include <cstdio>
#include <gptq/io.hpp>

int main(int argc, char** argv) {
    const auto files = gptq::io::model_files::open(argc > 1 ? argv[1] : ".");
    std::printf("%zu tensors\n", files.tensors().size());
    return files.tensors().empty() ? 1 : 0;
}
