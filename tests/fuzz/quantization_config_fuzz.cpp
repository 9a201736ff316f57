// config.json of a quantized model: what is read of it is written again, and means the same.
#include <gptq/io/awq_config.hpp>
#include <gptq/io/compressed_tensors_config.hpp>
#include <gptq/io/gptq_config.hpp>

#include <filesystem>
#include <string>

#include "fuzz/input_folder.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace gptq::io;

/// What this library writes of a configuration; but damp_percent, which is written only where loaders take its value.
template <class Config>
nlohmann::ordered_json written(const Config& config) {
    auto object = to_json(config);
    object.erase("damp_percent");
    return object;
}

/// Reads a configuration twice: as it is, and as this library writes what it understood.
template <class Read>
void expect_same_again(const std::filesystem::path& folder, Read read) {
    const auto config = read(folder);
    check(config);
    std::string text;
    const auto write = [&] { text = "{\"quantization_config\":" + to_json(config).dump() + "}"; };
    if (!fuzz::accepts<gptq::option_error>(write)) return;  // that of a mixed checkpoint, which is read only
    fuzz::require(written(read(fuzz::folder_with("config.json", text))) == written(config));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto expect_round_trip = [text = fuzz::text_of(data, size)](auto read) {
        (void)fuzz::accepts([&] { expect_same_again(fuzz::folder_with("config.json", text), read); });
    };
    expect_round_trip(read_gptq_config);
    expect_round_trip(read_awq_config);
    expect_round_trip(read_compressed_config);
    return 0;
}
