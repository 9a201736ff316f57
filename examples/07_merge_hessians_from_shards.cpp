// Calibration in several processes, on one machine or many: each adds up its share of the tokens and saves its Hessian;
// one loads and merges them. Without arguments this program runs three of itself as such processes.
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <gptq/calib/hessian.hpp>
#include <gptq/io/hessian_file.hpp>

namespace {

constexpr std::size_t features = 64, tokens_per_shard = 1000, shards = 3;

/// The Hessian of some shards' tokens.
gptq::hessian<float> calibrated(std::size_t first, std::size_t count) {
    auto x = gptq::matrix<float>::from_shape({count * tokens_per_shard, features});
    for (std::size_t i = 0; i < x.size(); ++i)
        x.data()[i] = std::sin(static_cast<float>((first * tokens_per_shard * features + i) % 100'003));
    gptq::hessian h(features);
    h.add(x);
    return h;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3) {  // a shard's process: its number, its file
        gptq::io::save_hessian(argv[2], calibrated(std::stoul(argv[1]), 1));
        return 0;
    }
    std::string folder = (std::filesystem::temp_directory_path() / "gptq-example-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) return 1;

    gptq::hessian merged(features), in_memory(features);
    for (std::size_t s = 0; s < shards; ++s) {
        const std::string number = std::to_string(s), file = folder + "/hessian-" + number + ".safetensors";
        if (std::system(("'" + std::string(argv[0]) + "' " + number + " '" + file + "'").c_str()) != 0) return 1;
        merged.merge(gptq::io::load_hessian<gptq::hessian<float>>(file));
        in_memory.merge(calibrated(s, 1));
    }
    std::filesystem::remove_all(folder);

    // Files change no bit. One pass adds the same T products in another order: either sum is within
    // T·2^-24·√(H_ii·H_jj) of the exact one.
    const auto h = merged.to_matrix(), single = calibrated(0, shards).to_matrix();
    bool close = true;
    for (std::size_t i = 0; i < features; ++i)
        for (std::size_t j = 0; j < features; ++j)
            close = close && std::abs(h(i, j) - single(i, j)) <=
                                 std::ldexp(static_cast<float>(merged.tokens()), -23) * std::sqrt(h(i, i) * h(j, j));
    const bool same = h == in_memory.to_matrix();
    std::cout << shards << " shards of " << tokens_per_shard << " tokens: " << (same ? "" : "not ")
              << "as in memory to the bit, " << (close ? "" : "not ") << "as in one pass up to rounding\n";
    return same && close && merged.tokens() == shards * tokens_per_shard ? 0 : 1;
}
