// The half of the checks of Hugging Face checkpoints that is this library's.
//     checkpoint_check write ROOT   folders of layers of random codes, in all variants of every format, and beside
//                                   each the weights and biases that were packed, F32: <folder>.weights.safetensors
//     checkpoint_check read ROOT    beside every folder in ROOT likewise what was unpacked, or why it is refused
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <gptq/io.hpp>

namespace {

using namespace gptq;
namespace fs = std::filesystem;

struct kind {
    unsigned bits = 4;
    bool sym = true;
    std::ptrdiff_t group_size = per_row;
    bool act_order = false;
    zero_format zeros = zero_format::v2;
    scale_type scales = scale_type::f16;
};

std::string describe(const kind& k) {
    return detail::text(k.bits, k.sym ? "-sym" : "-asym", "-g", k.group_size, k.act_order ? "-act" : "",
                        k.scales == scale_type::bf16 ? "-bf16" : "");
}

/// Every width with both grids, all group sizes, with and without act-order.
std::vector<kind> kinds(std::initializer_list<unsigned> widths) {
    std::vector<kind> all;
    for (const unsigned bits : widths)
        for (const bool sym : {true, false})
            for (const std::ptrdiff_t group_size :
                 {per_row, std::ptrdiff_t{32}, std::ptrdiff_t{64}, std::ptrdiff_t{128}})
                for (const bool act_order : {false, true})
                    if (!act_order || group_size != per_row) all.push_back({bits, sym, group_size, act_order});
    return all;
}

/// Of either sign and below 2; 0 and subnormal numbers among them.
float random_scale(std::mt19937& random, scale_type type) {
    const auto bits = static_cast<std::uint16_t>(random() & 0xBFFFU);
    return type == scale_type::bf16 ? to_float(bf16{bits}) : to_float(f16{bits});
}

quantized<uniform_grid> random_codes(std::mt19937& random, const kind& k, std::size_t out, std::size_t in) {
    quantized<uniform_grid> q;
    q.grid = {.bits = k.bits, .group_size = k.group_size, .sym = k.sym, .scales = k.scales};
    q.out_features = out;
    q.in_features = in;
    q.g_idx = natural_g_idx(in, k.group_size == per_row ? in : static_cast<std::size_t>(k.group_size));
    if (k.act_order) std::ranges::shuffle(q.g_idx, random);
    const unsigned maxq = q.grid.maxq(), least_zero = k.zeros == zero_format::v1 ? 1 : 0;
    for (std::size_t i = 0; i < out * in; ++i) q.codes.push_back(static_cast<std::uint8_t>(random() & maxq));
    for (std::size_t i = 0; i < out * q.groups(); ++i) {
        const auto zero = k.sym ? (maxq + 1) / 2 : least_zero + random() % (maxq + 1 - least_zero);
        q.parameters.push_back({random_scale(random, k.scales), static_cast<float>(zero)});
    }
    return q;
}

struct layer {
    quantized<uniform_grid> codes;
    packed_linear packed;
};

layer random_layer(std::mt19937& random, const kind& k, std::size_t out, std::size_t in, bool bias) {
    layer l{random_codes(random, k, out, in), {}};
    l.packed = pack(l.codes, k.zeros);
    for (std::size_t o = 0; bias && o < out; ++o) l.packed.bias.push_back(random_scale(random, k.scales));
    return l;
}

void write_tensors(const fs::path& path, const std::vector<io::stored_tensor>& tensors) {
    std::vector<io::tensor_declaration> declarations;
    for (const auto& tensor : tensors) declarations.push_back(tensor.declaration);
    io::safetensors_writer writer(path, declarations);
    for (const auto& tensor : tensors) writer.write(tensor.declaration.name, tensor.bytes);
    writer.finish();
}

io::stored_tensor as_floats(std::string name, std::vector<std::size_t> shape, std::span<const float> values) {
    const auto bytes = std::as_bytes(values);
    return {{std::move(name), io::dtype::F32, std::move(shape)}, {bytes.begin(), bytes.end()}};
}

/// What a layer stands for.
void add_weights(std::vector<io::stored_tensor>& tensors, const std::string& name, const quantized<uniform_grid>& q,
                 std::span<const float> bias) {
    std::vector<float> weights(q.codes.size());
    dequantize_into(q, view_of(weights.data(), q.out_features, q.in_features));
    tensors.push_back(as_floats(name + ".weight", {q.out_features, q.in_features}, weights));
    if (!bias.empty()) tensors.push_back(as_floats(name + ".bias", {q.out_features}, bias));
}

fs::path weights_of(const fs::path& folder) { return folder.string() + ".weights.safetensors"; }

/// A folder with two layers, one of them with a bias, and beside it what they stand for.
/// @param tensors_of  makes a layer's tensors, given its name and the layer
template <class TensorsOf>
void write_folder(const fs::path& folder, const kind& k, std::mt19937& random, TensorsOf tensors_of) {
    fs::create_directory(folder);
    io::write_file_atomically(folder / "config.json", "{}\n");
    std::vector<io::stored_tensor> tensors, weights;
    const auto add = [&](const std::string& name, const layer& l) {
        std::ranges::move(tensors_of(name, l.packed), std::back_inserter(tensors));
        add_weights(weights, name, l.codes, l.packed.bias);
    };
    add("model.plain", random_layer(random, k, 64, 256, false));
    add("model.biased", random_layer(random, k, 96, 384, true));
    write_tensors(folder / "model.safetensors", tensors);
    write_tensors(weights_of(folder), weights);
}

void write_gptq(const fs::path& root, std::mt19937& random) {
    for (const zero_format zeros : {zero_format::v1, zero_format::v2})
        for (kind k : kinds({2, 3, 4, 8})) {
            k.zeros = zeros;
            io::gptq_config config;
            config.bits = k.bits;
            config.group_size = k.group_size;
            config.desc_act = k.act_order;
            config.sym = k.sym;
            config.zeros = zeros;
            const fs::path folder = root / detail::text(io::checkpoint_format(zeros), "-", describe(k));
            write_folder(folder, k, random, [&](std::string_view name, const packed_linear& p) {
                return io::gptq_tensors(name, p, config);
            });
            io::write_gptq_config(folder, config);
        }
}

void write_awq(const fs::path& root, std::mt19937& random) {
    for (const kind& k : kinds({4})) {
        if (k.act_order) continue;
        io::awq_config config;
        config.group_size = k.group_size;
        config.sym = k.sym;
        const fs::path folder = root / detail::text("awq-", describe(k));
        write_folder(folder, k, random,
                     [&](std::string_view name, const packed_linear& p) { return io::awq_tensors(name, p, config); });
        io::write_awq_config(folder, config);
    }
}

void write_compressed(const fs::path& root, std::mt19937& random) {
    for (const scale_type scales : {scale_type::f16, scale_type::bf16})
        for (kind k : kinds({2, 4, 8})) {
            k.scales = scales;
            io::compressed_config config;
            config.bits = k.bits;
            config.group_size = k.group_size;
            config.sym = k.sym;
            if (k.act_order) config.order = io::column_order::dynamic_groups;
            const fs::path folder = root / detail::text("compressed-tensors-", describe(k));
            write_folder(folder, k, random, [&](std::string_view name, const packed_linear& p) {
                return io::compressed_tensors(name, to_compressed(p, k.sym), config);
            });
            io::write_compressed_config(folder, config);
        }
}

/// The codes of a layer: of all widths, also those of compressed-tensors that GPTQ has no layout for.
void add_layer(std::vector<io::stored_tensor>& tensors, const std::string& name, const io::model_files& files,
               const io::quantization& how) {
    if (const auto* config = std::get_if<io::compressed_config>(&how)) {
        const compressed_linear c = io::load_compressed(files, name, *config);
        return add_weights(tensors, name, unpack(c), c.bias);
    }
    const packed_linear p = io::load_quantized(files, name, how);
    add_weights(tensors, name, unpack(p, group_size_for(p.in_features, p.groups)), p.bias);
}

void read_folder(const fs::path& folder) {
    const auto files = io::model_files::open(folder);
    const io::quantization how = io::read_quantization(folder);
    std::vector<io::stored_tensor> tensors;
    for (const io::tensor_ref& tensor : files.tensors()) {
        const std::string name = tensor.name.substr(0, tensor.name.rfind('.'));
        if (tensor.name == name + ".weight_packed" || tensor.name == name + ".qweight")
            add_layer(tensors, name, files, how);
    }
    write_tensors(weights_of(folder), tensors);
}

void read(const fs::path& root) {
    for (const auto& entry : fs::directory_iterator(root)) {
        if (!entry.is_directory()) continue;
        try {
            read_folder(entry.path());
        } catch (const error& e) {
            std::fprintf(stderr, "refused: %s\n", e.what());
        }
    }
}

void write(const fs::path& root) {
    std::mt19937 random(1);
    write_gptq(root, random);
    write_awq(root, random);
    write_compressed(root, random);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::string_view command = argc == 3 ? argv[1] : "";
        if (command != "read" && command != "write")
            throw gptq::option_error("usage: checkpoint_check read|write ROOT");
        command == "read" ? read(argv[2]) : write(argv[2]);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
