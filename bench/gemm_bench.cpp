// How fast Y = X·Ŵᵀ is for the tokens of a prompt, against BLAS and ggml.
//
// Weights rotate through 256 MB. A round times, one after the other: the product, activations quantized included; sgemm
// with weights that are floats already; what makes floats of the packed weights; the rate of sgemm on matrices that
// suit it best; multiplications in registers; and, where this was built with ggml, the same product by its fastest
// kernel for as many bits. Counters are medians over the rounds, _low and _high the quartiles of the rounds' ratios.
//   of_sgemm_peak    the product's rate over the best rate of sgemm on as many threads
//   vs_sgemm         sgemm's time over ours, for the same tokens
//   vs_unpack_sgemm  the same with the time to unpack
//   vs_ggml          ggml's time over ours
// OPENBLAS_CORETYPE chooses another of OpenBLAS's kernels, where it does not know the processor.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include <gptq/calib/blas.hpp>

#include "ggml_peer.hpp"
#include "kernel_timing.hpp"
#include "timing.hpp"

namespace {

using bench::layer_shape;
using bench::median;
using bench::seconds_warm;

constexpr std::size_t most_tokens = 512;

/// w [in, out] ← the weights of a layer whose codes do not cross words, which leaves out those of 3 bits.
void unpack(const gptq::packed_linear& p, std::span<const float> zeros, std::vector<float>& w,
            gptq::thread_pool& pool) {
    const std::size_t out = p.out_features, fields = 32 / p.bits, rows = p.in_features / fields;
    pool.for_each(pool.concurrency(), [&](std::size_t t) {
        for (std::size_t r = rows * t / pool.concurrency(); r < rows * (t + 1) / pool.concurrency(); ++r)
            for (std::size_t f = 0; f < fields; ++f) {
                const std::size_t i = r * fields + f, k = static_cast<std::size_t>(p.g_idx[i]) * out;
                const std::uint32_t* const words = p.qweight.data() + r * out;
                const auto shift = static_cast<unsigned>(f) * p.bits, mask = (1U << p.bits) - 1;
                for (std::size_t o = 0; o < out; ++o)
                    w[i * out + o] = p.scales[k + o] * (static_cast<float>(words[o] >> shift & mask) - zeros[k + o]);
            }
    });
}

/// What cases of the same weights share.
struct problem {
    layer_shape shape;
    gptq::packed_linear packed = bench::random_layer(shape);
    std::vector<gptq::linear> layers = bench::rotating_layers<gptq::linear>(packed);
    std::vector<float> x = bench::random_normals(most_tokens * shape.in, 2);
    bench::product_in_double exact{bench::some_rows(packed), x, shape.in};
    bench::ggml_peer peer{shape};
    std::vector<float> zeros;                  ///< [groups, out]
    std::vector<std::vector<float>> unpacked;  ///< copies of [in, out]

    explicit problem(const layer_shape& s) : shape(s) {
        for (std::size_t k = 0; k < packed.groups; ++k)
            for (std::size_t o = 0; o < s.out; ++o) zeros.push_back(static_cast<float>(gptq::zero_at(packed, o, k)));
        gptq::thread_pool pool;
        while (unpacked.size() * s.out * s.in * sizeof(float) < bench::rotating_bytes)
            unpack(packed, zeros, unpacked.emplace_back(s.out * s.in), pool);
    }
};

problem& problem_of(const layer_shape& shape) {
    static std::unique_ptr<problem> last;
    if (!last || last->shape != shape) {
        last.reset();
        last = std::make_unique<problem>(shape);
    }
    return *last;
}

/// What BLAS takes in one round.
struct blas_reference {
    double sgemm = 0;  ///< seconds
    double peak = 0;   ///< GFLOP/s
};

blas_reference measure_blas(const problem& p, std::size_t tokens, std::size_t copy, std::size_t threads) {
    constexpr std::size_t n = 2048;
    static const std::vector<float> a(n * n, 1.0F);
    static std::vector<float> y(most_tokens * p.shape.out), c(n * n);
    const auto multiply = [](std::size_t rows, std::size_t cols, std::size_t inner, const float* left,
                             const float* right, float* to) {
        gptq::blas::gemm(gptq::blas::plain, gptq::blas::plain, rows, cols, inner, 1.0F, left, inner, right, cols, 0.0F,
                         to, cols);
    };
    blas_reference r;
    bench::seconds_in_blas(threads, [&] {
        r.sgemm = seconds_warm([&] {
            multiply(tokens, p.shape.out, p.shape.in, p.x.data(), p.unpacked[copy++ % p.unpacked.size()].data(),
                     y.data());
        });
        r.peak = 2e-9 * n * n * n / bench::seconds([&] { multiply(n, n, n, a.data(), a.data(), c.data()); });
    });
    return r;
}

template <class Isa, int Planes>
void gemm(benchmark::State& state, const layer_shape& shape, std::size_t tokens, std::size_t threads) {
    problem& p = problem_of(shape);
    gptq::thread_pool pool(threads);
    const std::span<const float> x(p.x.data(), tokens * shape.in);
    std::vector<float> y(tokens * shape.out), floats(shape.in * shape.out);
    std::size_t next = 0;
    const auto multiply = [&] {
        gptq::gemm<gptq::digits<Planes>, Isa>(p.layers[next++ % p.layers.size()],
                                              gptq::view_of(x.data(), tokens, shape.in),
                                              gptq::view_of(y.data(), tokens, shape.out), pool);
        benchmark::ClobberMemory();
    };

    multiply();
    const double error = p.exact.relative_error(y, shape.out);
    if (!(error < bench::too_large_an_error(Planes)))
        return state.SkipWithError("the result differs from the product in double");

    std::vector<double> times, sgemms, unpack_sgemms, our_rates, peaks, rates;
    p.peer.prepare(x, threads);
    for (auto _ : state) {
        times.push_back(seconds_warm(multiply));
        const double unpacking = seconds_warm([&] { unpack(p.packed, p.zeros, floats, pool); });
        const blas_reference reference = measure_blas(p, tokens, next, threads);
        sgemms.push_back(reference.sgemm);
        unpack_sgemms.push_back(unpacking + reference.sgemm);
        our_rates.push_back(shape.flops(tokens) / times.back() * 1e-9);
        peaks.push_back(reference.peak);
        rates.push_back(bench::rate_in_registers(threads));
        p.peer.run();
        state.SetIterationTime(times.back());
    }
    state.counters["us"] = median(times) * 1e6;
    state.counters["GB/s"] = static_cast<double>(p.layers[0].bytes()) / median(times) * 1e-9;
    state.counters["GFLOP/s"] = median(our_rates);
    bench::compare(state, "of_sgemm_peak", our_rates, peaks);
    bench::compare(state, "vs_sgemm", sgemms, times);
    bench::compare(state, "vs_unpack_sgemm", unpack_sgemms, times);
    state.counters["sgemm_peak"] = median(peaks);
    state.counters["fma_GFLOP/s"] = median(rates);
    state.counters["rel_error"] = error;
    p.peer.report(state, times);
}

template <class Isa, int Planes>
void add_gemm(const layer_shape& s, std::size_t tokens, std::size_t threads) {
    const std::string name = "gemm/" + std::string(Isa::name) + "/digits:" + std::to_string(Planes) +
                             bench::name_of(s) + "/tokens:" + std::to_string(tokens) +
                             "/threads:" + std::to_string(threads);
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=](benchmark::State& state) { gemm<Isa, Planes>(state, s, tokens, threads); })
        ->Iterations(5)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
}

template <class Isa>
void add_instruction_set(const layer_shape& shape, std::size_t tokens, std::size_t threads) {
    if constexpr (Isa::name != "portable") {
        add_gemm<Isa, 1>(shape, tokens, threads);
        add_gemm<Isa, 2>(shape, tokens, threads);
        if (shape.bits == 4) add_gemm<Isa, 3>(shape, tokens, threads);
    }
}

template <class... Isa>
void add_cases(std::tuple<Isa...>) {
    for (const unsigned bits : {4U, 2U, 8U})
        for (const std::size_t tokens : {2U, 4U, 8U, 16U, 64U, 256U, 512U})
            for (const std::size_t threads : {1U, 2U})
                if (bits == 4 || tokens == 8 || tokens == 64)
                    (add_instruction_set<Isa>({bits, 128, 4096, 4096}, tokens, threads), ...);
}

}  // namespace

int main(int argc, char** argv) {
    add_cases(gptq::isa::compiled{});
    return bench::run(argc, argv);
}
