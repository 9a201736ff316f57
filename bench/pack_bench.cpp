// How close packing, unpacking and conversion come to the rate of memcpy, on one thread.
//
// What counts are the bytes moved: those read plus those written, once each. An operation that moves so many is
// compared with a memcpy of half as many, which reads and writes as much in sum; both alternate in every round. All
// matrices are larger than the caches. `of_memcpy` is the ratio of the median times where the result's memory is there
// already, 1 being memcpy's rate; `low` and `high` are the quartiles of the rounds' ratios. `of_memcpy_new` is the same
// for functions that return their result, against memcpy to memory that is new as well: the system hands it out page by
// page, which takes longer than anything else here.
#include <benchmark/benchmark.h>

#include <malloc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gptq/pack/awq.hpp>
#include <gptq/pack/compressed.hpp>
#include <gptq/pack/ggml_convert.hpp>
#include <gptq/pack/ggml_dequantize.hpp>

#include "timing.hpp"

namespace {

using gptq::ggml_type;
using gptq::view_of;
using gptq::words_for;
using codes = std::vector<std::uint8_t>;
using words = std::vector<std::uint32_t>;

constexpr std::size_t size = 8192;  // outputs, and inputs
constexpr std::size_t all = size * size;

/// Freed memory goes back to the system at once, so that what is allocated next is new.
const int always_new = ::mallopt(M_MMAP_THRESHOLD, 1 << 20);

gptq::quantized<gptq::uniform_grid> random_layer(unsigned bits) {
    std::mt19937 random(1);
    gptq::quantized<gptq::uniform_grid> q{{.bits = bits, .group_size = 128}, size, size, codes(all), {}, {}};
    for (auto& code : q.codes) code = static_cast<std::uint8_t>(random() & q.grid.maxq());
    for (std::size_t i = 0; i < all / 128; ++i)
        q.parameters.push_back({static_cast<float>(1 + random() % 64) / 1024, static_cast<float>(1U << (bits - 1))});
    q.g_idx = gptq::natural_g_idx(size, 128);
    return q;
}

/// The ratios of times round by round, and of their medians.
struct rounds {
    std::vector<double> ours, memcpys;

    template <class F, class G>
    void add(F&& f, G&& copy) {
        ours.push_back(bench::seconds(f));
        memcpys.push_back(bench::seconds(copy));
    }
    [[nodiscard]] double ratio() const { return bench::median(memcpys) / bench::median(ours); }
    [[nodiscard]] double quartile(std::size_t which) const {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(memcpys[i] / ours[i]);
        std::ranges::sort(ratios);
        return ratios[ratios.size() * which / 4];
    }
};

class memcpy_of {
public:
    explicit memcpy_of(std::size_t bytes) : from_(bytes, 1), to_(bytes, 2) {}
    void to_old_memory() {
        std::memcpy(to_.data(), from_.data(), from_.size());
        benchmark::DoNotOptimize(to_.data());
    }
    void to_new_memory() const {
        const auto to = std::make_unique_for_overwrite<char[]>(from_.size());
        std::memcpy(to.get(), from_.data(), from_.size());
        benchmark::DoNotOptimize(to.get());
    }

private:
    std::vector<char> from_, to_;
};

/// @param f  moves so many bytes into memory that is there
/// @param g  returns the same in new memory
template <class F, class G>
void measure(benchmark::State& state, std::size_t moved, F&& f, G&& g) {
    memcpy_of copy(moved / 2);
    rounds in_place, returned;
    f();
    for (auto _ : state) {
        in_place.add(f, [&] { copy.to_old_memory(); });
        returned.add([&] { benchmark::DoNotOptimize(g()); }, [&] { copy.to_new_memory(); });
        state.SetIterationTime(in_place.ours.back());
    }
    state.counters["GB/s"] = static_cast<double>(moved) / bench::median(in_place.ours) * 1e-9;
    state.counters["of_memcpy"] = in_place.ratio();
    state.counters["low"] = in_place.quartile(1);
    state.counters["high"] = in_place.quartile(3);
    state.counters["of_memcpy_new"] = returned.ratio();
}

/// Some of the fields of words that hold one stream for each row of codes; `stride` apart, streams `pitch`.
bool agree(const words& packed, std::size_t stride, std::size_t pitch, const codes& expected, unsigned bits) {
    for (std::size_t i = 0; i < all; i += 1009)
        if (gptq::field(packed.data() + i / size * pitch, stride, i % size, bits) != expected[i]) return false;
    return true;
}

constexpr const char* wrong = "the result is wrong";

template <unsigned Bits>
void gptq_pack(benchmark::State& state) {
    const auto q = random_layer(Bits);
    words packed(words_for(size, Bits) * size);
    const auto pack = [&] {
        gptq::impl::pack_columns<Bits>(view_of(q.codes.data(), size, size),
                                       view_of(packed.data(), words_for(size, Bits), size));
    };
    pack();
    if (!agree(packed, size, 1, q.codes, Bits)) return state.SkipWithError(wrong);
    measure(state, all + 4 * packed.size(), pack, [&] { return gptq::pack(q); });
}

template <unsigned Bits>
void gptq_unpack(benchmark::State& state) {
    const auto q = random_layer(Bits);
    const auto p = gptq::pack(q);
    codes unpacked(all);
    const auto unpack = [&] {
        gptq::impl::unpack_columns<Bits>(view_of(p.qweight.data(), words_for(size, Bits), size),
                                         view_of(unpacked.data(), size, size));
    };
    unpack();
    if (unpacked != q.codes) return state.SkipWithError(wrong);
    measure(state, all + 4 * p.qweight.size(), unpack, [&] { return gptq::unpack(p, 128); });
}

void gptq_to_awq(benchmark::State& state) {
    const auto p = gptq::pack(random_layer(4));
    const auto a = gptq::to_awq(p);
    words converted(p.qweight.size());
    const auto convert = [&] {
        gptq::impl::words_to_awq(view_of(p.qweight.data(), size / 8, size), view_of(converted.data(), size, size / 8));
    };
    if (gptq::to_gptq(a).qweight != p.qweight) return state.SkipWithError(wrong);
    measure(state, 8 * converted.size(), convert, [&] { return gptq::to_awq(p); });
}

void awq_to_gptq(benchmark::State& state) {
    const auto p = gptq::pack(random_layer(4));
    const auto a = gptq::to_awq(p);
    words converted(p.qweight.size());
    const auto convert = [&] {
        gptq::impl::words_from_awq(view_of(a.qweight.data(), size, size / 8),
                                   view_of(converted.data(), size / 8, size));
    };
    convert();
    if (!std::ranges::equal(converted, p.qweight)) return state.SkipWithError(wrong);
    measure(state, 8 * converted.size(), convert, [&] { return gptq::to_gptq(a); });
}

template <unsigned Bits>
void compressed_pack(benchmark::State& state) {
    const auto q = random_layer(Bits);
    constexpr std::size_t pitch = words_for(size, Bits);
    words packed(size * pitch);
    const auto pack = [&] {
        for (std::size_t o = 0; o < size; ++o)
            gptq::impl::pack_stream<Bits>(&q.codes[o * size], size, &packed[o * pitch]);
    };
    pack();
    if (!agree(packed, 1, pitch, q.codes, Bits)) return state.SkipWithError(wrong);
    measure(state, all + 4 * packed.size(), pack, [&] { return gptq::pack_compressed(q, true); });
}

template <unsigned Bits>
void compressed_unpack(benchmark::State& state) {
    const auto q = random_layer(Bits);
    const auto c = gptq::pack_compressed(q, true);
    constexpr std::size_t pitch = words_for(size, Bits);
    codes unpacked(all);
    const auto unpack = [&] {
        for (std::size_t o = 0; o < size; ++o)
            gptq::impl::unpack_stream<Bits>(&c.weight_packed[o * pitch], size, &unpacked[o * size]);
    };
    unpack();
    if (unpacked != q.codes) return state.SkipWithError(wrong);
    measure(state, all + 4 * c.weight_packed.size(), unpack, [&] { return gptq::unpack(c); });
}

template <unsigned Bits>
void gptq_to_compressed(benchmark::State& state) {
    const auto q = random_layer(Bits);
    const auto p = gptq::pack(q);
    constexpr std::size_t pitch = words_for(size, Bits);
    words converted(size * pitch);
    const auto convert = [&] {
        gptq::impl::transpose_matrix<std::uint32_t>(view_of(p.qweight.data(), pitch, size),
                                                    view_of(converted.data(), size, pitch));
    };
    convert();
    if (!agree(converted, 1, pitch, q.codes, Bits)) return state.SkipWithError(wrong);
    measure(state, 8 * converted.size(), convert, [&] { return gptq::to_compressed(p, true); });
}

template <unsigned Bits>
void compressed_to_gptq(benchmark::State& state) {
    const auto q = random_layer(Bits);
    const auto c = gptq::pack_compressed(q, true);
    constexpr std::size_t pitch = words_for(size, Bits);
    words converted(size * pitch);
    const auto convert = [&] {
        gptq::impl::transpose_matrix<std::uint32_t>(view_of(c.weight_packed.data(), size, pitch),
                                                    view_of(converted.data(), pitch, size));
    };
    convert();
    if (!agree(converted, size, 1, q.codes, Bits)) return state.SkipWithError(wrong);
    measure(state, 8 * converted.size(), convert, [&] { return gptq::to_gptq(c); });
}

float value(const gptq::quantized<gptq::uniform_grid>& q, std::size_t o, std::size_t i) { return q.value(o, i); }
float value(const gptq::packed_linear& p, std::size_t o, std::size_t i) { return gptq::value_at(p, o, i); }

/// A layer → blocks, from either of its two forms.
template <class Block, class Layer>
void ggml_encode(benchmark::State& state, const Layer& layer, std::size_t read) {
    const auto parameters = gptq::impl::block_parameters_of(layer, "pack_bench");
    std::vector<std::byte> blocks(all / Block::elements * Block::bytes);
    const auto encode = [&] { gptq::impl::encode_layer(Block{}, layer, parameters, blocks); };
    encode();
    std::vector<float> weights(all);
    gptq::dequantize(Block::type, blocks, weights);
    for (std::size_t i = 0; i < all; i += 1009)
        if (weights[i] != value(layer, i / size, i % size)) return state.SkipWithError(wrong);
    measure(state, read + blocks.size(), encode, [&] { return gptq::to_ggml(layer, Block::type); });
}

template <class Block>
void ggml_encode_codes(benchmark::State& state) {
    ggml_encode<Block>(state, random_layer(Block::bits), all);
}

template <class Block>
void ggml_encode_packed(benchmark::State& state) {
    constexpr unsigned bits = Block::bits == 5 ? 4 : Block::bits;  // GPTQ has no 5
    ggml_encode<Block>(state, gptq::pack(random_layer(bits)), all * bits / 8);
}

/// Blocks → codes and scales.
template <class Block>
void ggml_decode(benchmark::State& state) {
    const auto q = random_layer(Block::bits);
    const auto blocks = gptq::to_ggml(q, Block::type);
    codes decoded(all);
    std::vector<gptq::ggml_scale> scales(all / Block::elements);
    const auto decode = [&] {
        for (std::size_t b = 0; b < scales.size(); ++b)
            scales[b] =
                decode_block(Block{}, &blocks[b * Block::bytes],
                             std::span<std::uint8_t, Block::elements>(&decoded[b * Block::elements], Block::elements));
    };
    decode();
    if (decoded != q.codes) return state.SkipWithError(wrong);
    measure(state, blocks.size() + all + scales.size() * sizeof(gptq::ggml_scale), decode,
            [&] { return gptq::from_ggml(Block::type, size, size, blocks); });
}

/// Blocks of any bytes → floats. What floats they are is tests/pack's matter.
template <ggml_type Type>
void ggml_dequantize(benchmark::State& state) {
    std::vector<std::byte> blocks(all / gptq::traits(Type).elements * gptq::traits(Type).bytes);
    std::mt19937 random(1);
    for (auto& byte : blocks) byte = static_cast<std::byte>(random() & 0x3BU);  // no scale is infinite
    std::vector<float> weights(all);
    measure(
        state, blocks.size() + all * sizeof(float), [&] { gptq::dequantize(Type, blocks, weights); },
        [&] {
            std::vector<float> made(all);
            gptq::dequantize(Type, blocks, made);
            return made;
        });
}

void often(benchmark::internal::Benchmark* b) { b->Iterations(15)->UseManualTime()->Unit(benchmark::kMillisecond); }

BENCHMARK(gptq_pack<2>)->Apply(often);
BENCHMARK(gptq_pack<3>)->Apply(often);
BENCHMARK(gptq_pack<4>)->Apply(often);
BENCHMARK(gptq_pack<8>)->Apply(often);
BENCHMARK(gptq_unpack<2>)->Apply(often);
BENCHMARK(gptq_unpack<3>)->Apply(often);
BENCHMARK(gptq_unpack<4>)->Apply(often);
BENCHMARK(gptq_unpack<8>)->Apply(often);
BENCHMARK(gptq_to_awq)->Apply(often);
BENCHMARK(awq_to_gptq)->Apply(often);
BENCHMARK(compressed_pack<4>)->Apply(often);
BENCHMARK(compressed_pack<8>)->Apply(often);
BENCHMARK(compressed_unpack<4>)->Apply(often);
BENCHMARK(compressed_unpack<8>)->Apply(often);
BENCHMARK(gptq_to_compressed<4>)->Apply(often);
BENCHMARK(gptq_to_compressed<8>)->Apply(often);
BENCHMARK(compressed_to_gptq<4>)->Apply(often);
BENCHMARK(compressed_to_gptq<8>)->Apply(often);
BENCHMARK(ggml_encode_codes<gptq::q4_0_block>)->Apply(often);
BENCHMARK(ggml_encode_codes<gptq::q4_1_block>)->Apply(often);
BENCHMARK(ggml_encode_codes<gptq::q5_0_block>)->Apply(often);
BENCHMARK(ggml_encode_codes<gptq::q5_1_block>)->Apply(often);
BENCHMARK(ggml_encode_codes<gptq::q8_0_block>)->Apply(often);
BENCHMARK(ggml_encode_packed<gptq::q4_0_block>)->Apply(often);
BENCHMARK(ggml_encode_packed<gptq::q5_0_block>)->Apply(often);
BENCHMARK(ggml_encode_packed<gptq::q8_0_block>)->Apply(often);
BENCHMARK(ggml_decode<gptq::q4_0_block>)->Apply(often);
BENCHMARK(ggml_decode<gptq::q5_0_block>)->Apply(often);
BENCHMARK(ggml_decode<gptq::q8_0_block>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q4_0>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q4_1>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q5_0>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q5_1>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q8_0>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q2_k>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q3_k>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q4_k>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q5_k>)->Apply(often);
BENCHMARK(ggml_dequantize<ggml_type::q6_k>)->Apply(often);

}  // namespace
