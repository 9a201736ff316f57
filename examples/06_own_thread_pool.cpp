// Work on threads of your own: an executor is any object with concurrency() and for_each(count, task). Results are the
// same bits on one thread and on many.
#include <cmath>
#include <cstddef>
#include <future>
#include <iostream>
#include <vector>

#include <gptq/runtime.hpp>

/// Runs tasks by std::async. An engine would call its own pool here; docs/own_executor.md shows some.
struct async_executor {
    std::size_t workers = 4;

    [[nodiscard]] std::size_t concurrency() const { return workers; }  // how many tasks can run at once

    void for_each(std::size_t count, auto&& task) const {  // task(0) … task(count - 1), and returns when all have ended
        std::vector<std::future<void>> running;
        for (std::size_t first = 0; first < workers; ++first)
            running.push_back(std::async(std::launch::async, [&, first] {
                for (std::size_t i = first; i < count; i += workers) task(i);
            }));
        for (auto& worker : running) worker.get();  // rethrows what a task has thrown
    }
};

int main() {
    constexpr std::size_t in_features = 1024, out_features = 2048, tokens = 64;
    gptq::quantized<gptq::uniform_grid> q{{.bits = 4}, out_features, in_features, {}, {}, {}};
    for (std::size_t i = 0; i < out_features * in_features; ++i)
        q.codes.push_back(static_cast<std::uint8_t>(i * i % 13));
    for (std::size_t i = 0; i < in_features; ++i) q.g_idx.push_back(static_cast<std::int32_t>(i / 128));
    q.parameters.assign(out_features * q.groups(), {.scale = 1 / 64.0F, .zero = 8});
    const gptq::linear layer(gptq::pack(q));

    std::vector<float> x(tokens * in_features), alone(tokens * out_features);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
    const auto inputs = gptq::view_of(x.data(), tokens, in_features);
    gptq::gemm(layer, inputs, gptq::view_of(alone.data(), tokens, out_features));  // on this thread

    bool same = true;
    for (const std::size_t workers : {1U, 2U, 3U, 8U}) {
        std::vector<float> y(alone.size());
        gptq::gemm(layer, inputs, gptq::view_of(y.data(), tokens, out_features), async_executor{workers});
        std::cout << workers << " workers: " << (y == alone ? "the same bits\n" : "other bits\n");
        same = same && y == alone;
    }
    return same ? 0 : 1;
}
