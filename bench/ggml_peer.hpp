// The same product by ggml, in the same process. ggml has several ways to keep weights of some bits: a peer has all
// that count for its bits, and runs the one that is fastest for the tokens and threads at hand. A program that is built
// without ggml has a peer that is not there.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernel_timing.hpp"

#if GPTQ_BENCH_WITH_GGML
#include <ggml-cpp.h>
#include <ggml-cpu.h>
#endif

namespace bench {

#if GPTQ_BENCH_WITH_GGML

/// Copies of one matrix as ggml keeps it, and a graph that multiplies each.
class ggml_weights {
public:
    /// @param repacked  in the order that ggml's kernels prefer, if it has one for the type; see supported()
    ggml_weights(ggml_type type, bool repacked, const layer_shape& shape)
        : type_(type), repacked_(repacked), shape_(shape), backend_(ggml_backend_cpu_init()) {
        const std::size_t copies = rotating_bytes / bytes() + 1;
        context_.reset(ggml_init({(copies + 1) * ggml_tensor_overhead(), nullptr, true}));
        for (std::size_t k = 0; k < copies; ++k)
            matrices_.push_back(ggml_new_tensor_2d(context_.get(), type, in(), static_cast<std::int64_t>(shape.out)));
        const ggml_backend_buffer_type_t memory = repacked ? repacking_memory() : ggml_backend_cpu_buffer_type();
        if (memory == nullptr) return;
        buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(context_.get(), memory));
        prepare(random_normals(shape.in, 2), 1);
        if (!supported()) return;
        const std::vector<std::byte> matrix = repeated_rows();
        for (ggml_tensor* copy : matrices_) ggml_backend_tensor_set(copy, matrix.data(), 0, matrix.size());
    }

    /// Whether ggml can multiply such weights.
    [[nodiscard]] bool supported() const {
        return buffer_ && ggml_backend_supports_op(backend_.get(), ggml_graph_node(graphs_[0], 0));
    }
    [[nodiscard]] std::string name() const { return ggml_type_name(type_) + std::string(repacked_ ? " repacked" : ""); }
    [[nodiscard]] std::size_t bytes() const { return shape_.out * ggml_row_size(type_, in()); }

    /// Gets ready to multiply tokens x [tokens, in] on so many threads.
    void prepare(std::span<const float> x, std::size_t threads) {
        const auto tokens = static_cast<std::int64_t>(x.size() / shape_.in);
        const std::size_t nodes = matrices_.size();
        threads_.reset(nullptr);
        ggml_threadpool_params parameters = ggml_threadpool_params_default(static_cast<int>(threads));
        threads_.reset(ggml_threadpool_new(&parameters));
        ggml_backend_cpu_set_n_threads(backend_.get(), static_cast<int>(threads));
        ggml_backend_cpu_set_threadpool(backend_.get(), threads_.get());

        graphs_.clear();
        graph_buffer_.reset();
        graph_context_.reset(ggml_init(
            {(nodes + 1) * ggml_tensor_overhead() + nodes * ggml_graph_overhead_custom(tensors_of_graph, false),
             nullptr, true}));
        ggml_tensor* const input = ggml_new_tensor_2d(graph_context_.get(), GGML_TYPE_F32, in(), tokens);
        for (ggml_tensor* matrix : matrices_) {
            graphs_.push_back(ggml_new_graph_custom(graph_context_.get(), tensors_of_graph, false));
            ggml_build_forward_expand(graphs_.back(), ggml_mul_mat(graph_context_.get(), matrix, input));
        }
        graph_buffer_.reset(ggml_backend_alloc_ctx_tensors(graph_context_.get(), backend_.get()));
        ggml_backend_tensor_set(input, x.data(), 0, x.size_bytes());
    }

    void multiply(std::size_t k) { ggml_backend_graph_compute(backend_.get(), graphs_[k % graphs_.size()]); }

    /// Of the last product of the first copy, which was with x.
    [[nodiscard]] double relative_error(std::span<const float> x) const {
        std::vector<float> y(x.size() / shape_.in * shape_.out);
        ggml_backend_tensor_get(ggml_graph_node(graphs_[0], 0), y.data(), 0, y.size() * sizeof(float));
        return product_in_double(rows_, x, shape_.in).relative_error(y, shape_.out);
    }

private:
    static constexpr std::size_t tensors_of_graph = 3;  // weights, tokens, product

    [[nodiscard]] std::int64_t in() const { return static_cast<std::int64_t>(shape_.in); }

    /// Memory that reorders what is put there.
    [[nodiscard]] static ggml_backend_buffer_type_t repacking_memory() {
        const ggml_backend_dev_t cpu = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0);
        const auto list = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
            ggml_backend_reg_get_proc_address(ggml_backend_cpu_reg(), "ggml_backend_dev_get_extra_bufts"));
        for (ggml_backend_buffer_type_t* memory = list(cpu); memory != nullptr && *memory != nullptr; ++memory)
            if (ggml_backend_buft_name(*memory) == std::string("CPU_REPACK")) return *memory;
        return nullptr;
    }

    /// The matrix in ggml's format: a few random rows again and again, since quantizing takes ggml a while.
    [[nodiscard]] std::vector<std::byte> repeated_rows() {
        constexpr std::size_t distinct = 32;
        const std::vector<float> values = random_normals(distinct * shape_.in, 3);
        std::vector<std::byte> matrix(bytes());
        const std::size_t part = ggml_quantize_chunk(type_, values.data(), matrix.data(), 0, distinct, in(), nullptr);
        std::vector<float> quantized(values.size());
        ggml_get_type_traits(type_)->to_float(matrix.data(), quantized.data(),
                                              static_cast<std::int64_t>(quantized.size()));
        rows_.assign(quantized.begin(), quantized.end());
        for (std::size_t i = part; i < matrix.size(); ++i) matrix[i] = matrix[i - part];
        return matrix;
    }

    struct free_threads {
        void operator()(ggml_threadpool* threads) const { ggml_threadpool_free(threads); }
    };

    ggml_type type_;
    bool repacked_;
    layer_shape shape_;
    std::unique_ptr<ggml_threadpool, free_threads> threads_;
    ggml_backend_ptr backend_;
    ggml_context_ptr context_, graph_context_;
    ggml_backend_buffer_ptr buffer_, graph_buffer_;
    std::vector<ggml_tensor*> matrices_;
    std::vector<ggml_cgraph*> graphs_;
    std::vector<double> rows_;  ///< the distinct ones, dequantized
};

class ggml_peer {
public:
    explicit ggml_peer(const layer_shape& shape) {
        ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
        for (const ggml_type type : types_of(shape.bits))
            for (const bool repacked : {false, true})
                if (auto weights = std::make_unique<ggml_weights>(type, repacked, shape); weights->supported())
                    all_.push_back(std::move(weights));
    }

    /// Gets ready to multiply tokens x [tokens, in] on so many threads, with whichever weights are fastest at that. The
    /// last choice stands while neither number changes.
    void prepare(std::span<const float> x, std::size_t threads) {
        times_.clear();
        if (fastest_ != nullptr && values_ == x.size() && threads_ == threads) return;
        values_ = x.size();
        threads_ = threads;
        double least = std::numeric_limits<double>::infinity();
        for (const auto& weights : all_) {
            weights->prepare(x, threads);
            const double time = seconds_warm([&] { weights->multiply(next_++); });
            if (std::exchange(least, std::min(least, time)) > time) fastest_ = weights.get();
        }
        fastest_->multiply(0);
        relative_error_ = fastest_->relative_error(x);
        let_threads_sleep();
    }

    /// Times the product, of another copy each time, as a part of a round.
    void run() {
        times_.push_back(seconds_warm([&] { fastest_->multiply(next_++); }));
        let_threads_sleep();
    }

    /// Counters: the time and how many of ours it takes.
    void report(benchmark::State& state, const std::vector<double>& ours) const {
        compare(state, "vs_ggml", times_, ours);
        state.counters["ggml_us"] = median(times_) * 1e6;
        state.counters["ggml_GB/s"] = static_cast<double>(fastest_->bytes()) / median(times_) * 1e-9;
        state.counters["ggml_error"] = relative_error_;
        state.SetLabel("ggml: " + fastest_->name());
    }

private:
    static std::vector<ggml_type> types_of(unsigned bits) {
        switch (bits) {
            case 2: return {GGML_TYPE_Q2_K};
            case 3: return {GGML_TYPE_Q3_K};
            case 4: return {GGML_TYPE_Q4_0, GGML_TYPE_Q4_K};
            default: return {GGML_TYPE_Q8_0};
        }
    }

    /// OpenMP's threads look out for work for some milliseconds, at the expense of whoever runs next.
    void let_threads_sleep() const {
        if (threads_ > 1) wait_busily(std::chrono::milliseconds(10));
    }

    std::vector<std::unique_ptr<ggml_weights>> all_;
    ggml_weights* fastest_ = nullptr;
    std::size_t values_ = 0, threads_ = 1, next_ = 0;
    double relative_error_ = 0;
    std::vector<double> times_;
};

#else

struct ggml_peer {
    explicit ggml_peer(const layer_shape&) {}
    void prepare(std::span<const float>, std::size_t) {}
    void run() {}
    void report(benchmark::State&, const std::vector<double>&) const {}
};

#endif

}  // namespace bench
