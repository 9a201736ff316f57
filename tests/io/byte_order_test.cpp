// Tests that a file has the same bytes whatever machine writes it, and the same values whatever machine reads it: the
// bytes as sums, made once on x86-64. What a format says of single bytes, the tests of that format say.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gptq/core/endian.hpp>
#include <gptq/io/awq_load.hpp>
#include <gptq/io/awq_store.hpp>
#include <gptq/io/compressed_tensors_load.hpp>
#include <gptq/io/compressed_tensors_store.hpp>
#include <gptq/io/gguf.hpp>
#include <gptq/io/gguf_writer.hpp>
#include <gptq/io/gptq_load.hpp>
#include <gptq/io/gptq_store.hpp>
#include <gptq/io/safetensors.hpp>
#include <gptq/io/tile_file.hpp>
#include <gptq/kernels/gemv.hpp>
#include <gptq/pack/ggml_convert.hpp>

#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace byte_order_test {

using namespace gptq::io;
using gptq::packed_linear;

namespace {

constexpr std::size_t outputs = 24, inputs = 64, groups = 2;

/// FNV-1a, of 64 bits.
std::uint64_t sum_of(std::string_view bytes) {
    std::uint64_t sum = 0xCBF2'9CE4'8422'2325;
    for (const char c : bytes) sum = (sum ^ static_cast<unsigned char>(c)) * 0x100'0000'01B3;
    return sum;
}

/// Codes, zero points and scales that are all different soon, by arithmetic that is exact everywhere.
packed_linear some_layer(unsigned bits, bool act_order) {
    gptq::quantized<gptq::uniform_grid> q{{.bits = bits, .group_size = 32}, outputs, inputs, {}, {}, {}};
    const std::size_t codes = std::size_t{1} << bits;
    for (std::size_t i = 0; i < outputs * inputs; ++i) q.codes.push_back(static_cast<std::uint8_t>(i * i * 7 % codes));
    for (std::size_t i = 0; i < outputs * groups; ++i)
        q.parameters.push_back({(1 + static_cast<float>(i)) / 64, static_cast<float>(1 + i * 5 % (codes - 1))});
    for (std::size_t i = 0; i < inputs; ++i)
        q.g_idx.push_back(static_cast<std::int32_t>(act_order ? i * 13 % inputs / 32 : i / 32));
    packed_linear p = gptq::pack(q);
    for (std::size_t o = 0; o < outputs; ++o) p.bias.push_back(static_cast<float>(o) / 8 - 1);
    return p;
}

void check_same(const packed_linear& a, const packed_linear& b) {
    CHECK(a.qweight == b.qweight);
    CHECK(gptq::impl::zeros_of(a) == gptq::impl::zeros_of(b));
    CHECK(a.scales == b.scales);
    CHECK(a.g_idx == b.g_idx);
    CHECK(a.bias == b.bias);
}

/// The sum of the bytes of a file with a module's tensors.
std::uint64_t write_module(const std::filesystem::path& path, std::span<const stored_tensor> tensors) {
    std::vector<tensor_declaration> declared;
    for (const stored_tensor& tensor : tensors) declared.push_back(tensor.declaration);
    safetensors_writer writer(path, declared);
    for (const stored_tensor& tensor : tensors) writer.write(tensor.declaration.name, tensor.bytes);
    writer.finish();
    return sum_of(read_bytes(path));
}

}  // namespace

TEST_CASE("a GPTQ layer is the same bytes on every machine", "[io]") {
    struct expected {
        unsigned bits;
        std::uint64_t sum;
    };
    for (const auto [bits, sum] : {expected{2, 0xC7C5'5D38'DCA4'8F35}, expected{3, 0x3393'FE7F'BE1A'35CB},
                                   expected{4, 0x8490'93A3'12EC'2E83}, expected{8, 0x2A67'B3F6'19CA'EC2B}}) {
        INFO(bits << " bits");
        const temp_folder folder;
        const auto path = folder / "gptq.safetensors";
        packed_linear layer = some_layer(bits, true);
        layer.stored_scales = bits == 8 ? gptq::scale_type::f32 : gptq::scale_type::f16;
        const gptq_config config{.bits = bits, .group_size = 32, .desc_act = true, .sym = false, .zeros = layer.zeros};
        CHECK(write_module(path, gptq_tensors("m", layer, config)) == sum);
        check_same(load_gptq(safetensors::open(path), "m", config), layer);
    }
}

TEST_CASE("an AWQ layer is the same bytes on every machine", "[io]") {
    const temp_folder folder;
    const packed_linear layer = some_layer(4, false);
    const awq_config config{.group_size = 32};
    CHECK(write_module(folder / "awq", awq_tensors("m", layer, config)) == 0x769F'34D3'CFCD'ECC9);
    check_same(load_awq(safetensors::open(folder / "awq"), "m", config), layer);
}

TEST_CASE("a compressed-tensors layer is the same bytes on every machine", "[io]") {
    const temp_folder folder;
    packed_linear layer = some_layer(2, true);
    layer.stored_scales = gptq::scale_type::bf16;
    const compressed_config config{.bits = 2, .group_size = 32, .sym = false, .order = column_order::dynamic_groups};
    CHECK(write_module(folder / "ct", compressed_tensors("m", gptq::to_compressed(layer, false), config)) ==
          0x9C09'2927'7F5A'BD79);
    check_same(gptq::to_gptq(load_compressed(safetensors::open(folder / "ct"), "m", config)), layer);
}

TEST_CASE("a GGUF file is the same bytes on every machine", "[io]") {
    using gptq::ggml_type;
    const temp_folder folder;
    const packed_linear layer = some_layer(4, false);
    const gguf_metadata metadata = {{"general.architecture", "llama"},
                                    {"u16", std::uint16_t{0x1234}},
                                    {"i64", std::int64_t{-2}},
                                    {"f64", 0.1},
                                    {"floats", std::vector<float>{1, 2}}};
    std::vector<gguf_declaration> tensors;
    for (const ggml_type type : {ggml_type::q5_0, ggml_type::q8_0})
        tensors.push_back({std::string(gptq::name(type)), type, {outputs, inputs}});
    gguf_writer writer(folder / "f.gguf", metadata, tensors);
    for (const auto& tensor : tensors) writer.write(tensor.name, gptq::to_ggml(layer, tensor.type));
    writer.finish();
    CHECK(sum_of(read_bytes(folder / "f.gguf")) == 0xAD35'C555'43D9'0680);

    const auto file = gguf::open(folder / "f.gguf");
    CHECK(file.metadata() == metadata);
    for (const auto& tensor : tensors) {
        const auto values = to_floats(file.at(tensor.name));
        for (std::size_t i = 0; i < values.size(); ++i)
            REQUIRE(values[i] == gptq::value_at(layer, i / inputs, i % inputs));
    }
}

TEST_CASE("a tiles file is the same bytes on every machine, and the product the same bits", "[io]") {
    const temp_folder folder;
    const gptq::linear straight(some_layer(4, false)), scattered(some_layer(3, true));
    save_tiles(folder / "tiles", {{"straight", straight}, {"scattered", scattered}});
    CHECK(sum_of(read_bytes(folder / "tiles")) == 0x657A'87E6'23DF'A3B8);

    std::vector<float> x(inputs), y(outputs);
    for (std::size_t i = 0; i < inputs; ++i) x[i] = static_cast<float>(i * 37 % 101) / 16 - 3;
    std::string products;
    for (const std::string_view name : {"straight", "scattered"}) {
        gptq::gemv(load_tiles(safetensors::open(folder / "tiles"), name), x, y);
        for (const std::byte b : gptq::impl::little_endian_bytes(y)) products += static_cast<char>(b);
    }
    CHECK(sum_of(products) == 0x1DCC'E176'C4AE'7F2D);
}

}  // namespace byte_order_test
