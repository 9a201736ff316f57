// How close y = Ŵ·x comes to the speed of reading Ŵ, and how it compares with ggml.
//
// Weights rotate through 256 MB, so every call reads them from memory. A round times, one after the other: some
// products, activations quantized included; a plain sum over as many bytes; multiplications in registers; and, where
// this was built with ggml, the same products by ggml's fastest kernel for as many bits. Counters are medians over the
// rounds; google-benchmark's own columns are means, which other programs on the machine disturb.
//   of_bandwidth  the sum's time over the product's, 1 being the wall; _low and _high are the quartiles of the rounds
//   vs_ggml       ggml's time over ours
//   fma_GFLOP/s   the rate of the cores alone: cases between which it differs were not run by the same machine
//   rel_error     of y against a product in double with the same weights; ggml_error likewise with ggml's own
// `direct` is the same on the checkpoint's own layout.
// pack_tiles counts the bytes moved, read plus written, against a memcpy that moves as many.
#include <malloc.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ggml_peer.hpp"
#include "kernel_timing.hpp"

namespace {

using bench::layer_shape;
using bench::median;
using bench::seconds_warm;

/// What cases of the same weights share.
template <class Layer>
struct problem {
    layer_shape shape;
    gptq::packed_linear packed = bench::random_layer(shape);
    std::vector<Layer> layers = bench::rotating_layers<Layer>(packed);
    std::vector<float> x = bench::random_normals(shape.in, 2);
    bench::product_in_double exact{bench::some_rows(packed), x, shape.in};
    bench::ggml_peer peer{shape};

    explicit problem(const layer_shape& s) : shape(s) {}
};

template <class Layer>
problem<Layer>& problem_of(const layer_shape& shape) {
    static std::unique_ptr<problem<Layer>> last;
    if (!last || last->shape != shape) {
        last.reset();
        last = std::make_unique<problem<Layer>>(shape);
    }
    return *last;
}

template <class Layer, class Isa, int Planes>
void gemv(benchmark::State& state, const layer_shape& shape, std::size_t threads) {
    problem<Layer>& p = problem_of<Layer>(shape);
    gptq::thread_pool pool(threads);
    static bench::reader memory;
    std::vector<float> y(shape.out);
    std::size_t next = 0;
    const auto multiply = [&] {
        gptq::gemv<gptq::digits<Planes>, Isa>(p.layers[next++ % p.layers.size()], p.x, y, pool);
        benchmark::ClobberMemory();
    };

    multiply();
    const double error = p.exact.relative_error(y, shape.out);
    if (!(error < bench::too_large_an_error(Planes)))
        return state.SkipWithError("the result differs from the product in double");

    const std::size_t bytes = p.layers[0].bytes();
    std::vector<double> times, reads, rates;
    p.peer.prepare(p.x, threads);
    for (auto _ : state) {
        times.push_back(seconds_warm(multiply));
        reads.push_back(memory.seconds_to_read(bytes, threads));
        rates.push_back(bench::rate_in_registers(threads));
        p.peer.run();
        state.SetIterationTime(times.back());
    }
    state.counters["us"] = median(times) * 1e6;
    state.counters["GB/s"] = static_cast<double>(bytes) / median(times) * 1e-9;
    bench::compare(state, "of_bandwidth", reads, times);
    state.counters["read_GB/s"] = static_cast<double>(bytes) / median(reads) * 1e-9;
    state.counters["fma_GFLOP/s"] = median(rates);
    state.counters["rel_error"] = error;
    p.peer.report(state, times);
}

/// Where the last results are kept, so that the next does not find its memory in a cache.
template <class Result>
class last_results {
public:
    void keep(Result result) { kept_[next_++ % kept_.size()] = std::move(result); }
    [[nodiscard]] std::size_t size() const { return kept_.size(); }

private:
    std::vector<std::optional<Result>> kept_ = std::vector<std::optional<Result>>(16);
    std::size_t next_ = 0;
};

/// Checkpoint → tiles, into memory that the program has already.
void pack_tiles(benchmark::State& state, const layer_shape& shape) {
    ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
    ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
    std::vector<gptq::packed_linear> sources{bench::random_layer(shape)};
    while (sources.size() * gptq::stored_bytes(sources[0]) < bench::rotating_bytes)
        sources.push_back(bench::copy_of(sources[0]));
    const std::size_t moved = gptq::stored_bytes(sources[0]) + gptq::linear(sources[0]).bytes();
    const std::vector<std::vector<char>> bytes(sources.size(), std::vector<char>(moved / 2, 1));
    last_results<gptq::linear> layers;
    last_results<std::unique_ptr<char[]>> copies;
    std::size_t next = 0;
    const auto pack = [&] { layers.keep(gptq::linear(sources[next++ % sources.size()])); };
    const auto copy = [&] {
        auto to = std::make_unique_for_overwrite<char[]>(moved / 2);
        std::memcpy(to.get(), bytes[next++ % sources.size()].data(), moved / 2);
        copies.keep(std::move(to));
    };
    for (std::size_t i = 0; i < 2 * layers.size(); ++i) {  // later ones find the memory of these
        pack();
        copy();
    }
    std::vector<double> packs, memcpys;
    for (auto _ : state) {
        packs.push_back(bench::seconds(pack));
        memcpys.push_back(bench::seconds(copy));
        state.SetIterationTime(packs.back());
    }
    state.counters["us"] = median(packs) * 1e6;
    state.counters["GB/s"] = static_cast<double>(moved) / median(packs) * 1e-9;
    bench::compare(state, "of_copy", memcpys, packs);
}

template <class F>
void add(const std::string& name, int rounds, F&& f) {
    benchmark::RegisterBenchmark(name.c_str(), f)->Iterations(rounds)->UseManualTime()->Unit(benchmark::kMicrosecond);
}

template <class Layer, class Isa, int Planes>
void add_gemv(const std::string& name, const layer_shape& shape, std::size_t threads) {
    add(name + "/" + std::string(Isa::name) + "/digits:" + std::to_string(Planes) + bench::name_of(shape) +
            "/threads:" + std::to_string(threads),
        15, [=](benchmark::State& state) { gemv<Layer, Isa, Planes>(state, shape, threads); });
}

/// Every instruction set of this build but the portable one, whose matter is not speed.
template <class Isa>
void add_instruction_set(const layer_shape& shape, std::size_t threads) {
    if constexpr (Isa::name != "portable") {
        if (shape.bits <= 4) add_gemv<gptq::linear, Isa, 1>("gemv", shape, threads);
        add_gemv<gptq::linear, Isa, 2>("gemv", shape, threads);
        if (shape.bits == 4) add_gemv<gptq::linear, Isa, 3>("gemv", shape, threads);
    }
}

template <class... Isa>
void add_cases(std::tuple<Isa...>) {
    struct size {
        std::size_t out, in;
    };
    struct format {
        unsigned bits;
        std::size_t group_size;
    };
    constexpr format formats[] = {{4, 128}, {4, 32}, {3, 128}, {2, 128}, {8, 128}};
    for (const size s : {size{4096, 4096}, {11008, 4096}, {4096, 11008}, {14336, 4096}})
        for (const format f : formats)
            for (const std::size_t threads : {1U, 2U})
                (add_instruction_set<Isa>({f.bits, f.group_size, s.out, s.in}, threads), ...);
    for (const format f : formats)
        for (const std::size_t threads : {1U, 2U})
            add_gemv<gptq::direct_linear, gptq::isa::native, 2>("direct", {f.bits, f.group_size, 4096, 4096}, threads);
    for (const format f : formats) {
        const layer_shape shape{f.bits, f.group_size, 4096, 4096};
        add("pack_tiles" + bench::name_of(shape), 31, [=](benchmark::State& state) { pack_tiles(state, shape); });
    }
}

}  // namespace

int main(int argc, char** argv) {
    add_cases(gptq::isa::compiled{});
    return bench::run(argc, argv);
}
