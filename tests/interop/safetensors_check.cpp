// The half of the checks of safetensors that is this library's.
//     safetensors_check FILE COPY       the same tensors and metadata again, and a tensor of every type: ours.<type>
//     safetensors_check FOLDER COPY     the same model again, in shards of at most a megabyte
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <gptq/io/model_files.hpp>
#include <gptq/io/model_writer.hpp>
#include <gptq/io/safetensors.hpp>
#include <gptq/io/safetensors_writer.hpp>

namespace {

using namespace gptq;
namespace fs = std::filesystem;

constexpr std::size_t shard_bytes = 1'000'000;

std::vector<io::tensor_declaration> declarations_of(std::span<const io::tensor_ref> tensors) {
    std::vector<io::tensor_declaration> declarations;
    for (const io::tensor_ref& tensor : tensors) declarations.push_back({tensor.name, tensor.type, tensor.shape});
    return declarations;
}

std::vector<std::byte> counting_bytes(std::size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i & 0xFFU);
    return bytes;
}

void copy_file(const fs::path& from, const fs::path& to) {
    const auto file = io::safetensors::open(from);
    auto declarations = declarations_of(file.tensors());
    for (const auto& type : io::dtypes)
        declarations.push_back({"ours." + std::string(type.name), io::dtype_named(type.name).value(), {3, 8}});
    io::safetensors_writer writer(to, declarations, file.metadata());
    for (const io::tensor_ref& tensor : file.tensors()) writer.write(tensor.name, tensor.bytes);
    for (std::size_t i = file.tensors().size(); i < declarations.size(); ++i) {
        const auto& [name, type, shape] = declarations[i];
        writer.write(name, counting_bytes(io::byte_count(type, shape).value()));
    }
    writer.finish();
}

void copy_model(const fs::path& from, const fs::path& to) {
    const auto files = io::model_files::open(from);
    io::model_writer writer(to, declarations_of(files.tensors()), shard_bytes);
    for (const io::tensor_ref& tensor : files.tensors()) writer.write(tensor.name, tensor.bytes);
    writer.finish();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc != 3) throw gptq::option_error("usage: safetensors_check FILE|FOLDER COPY");
        fs::is_directory(argv[1]) ? copy_model(argv[1], argv[2]) : copy_file(argv[1], argv[2]);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
