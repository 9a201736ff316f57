#include "evaluate.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>

namespace llama {
namespace {

/// Sums over one window, added up in the windows' order so that threads do not change the last digit.
struct tally {
    double nll = 0, kl = 0;
    std::size_t agree = 0;
};

/// log softmax of a row, in double.
std::vector<double> log_probabilities(const float* row, std::size_t size) {
    const auto top = static_cast<double>(*std::max_element(row, row + size));
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += std::exp(static_cast<double>(row[i]) - top);
    const double log_sum = top + std::log(sum);
    std::vector<double> result(size);
    for (std::size_t i = 0; i < size; ++i) result[i] = static_cast<double>(row[i]) - log_sum;
    return result;
}

matrix all_logits(const model& m, const token_ids& window, gptq::thread_pool& pool) {
    sequence_state state;
    const std::vector<batch_part> whole = {{&state, window.size()}};
    return logits(m, forward(m, window, whole, pool), pool);
}

tally evaluate_window(const model& m, const model* reference, const token_ids& window, gptq::thread_pool& pool) {
    tally result;
    const matrix ours = all_logits(m, window, pool);
    const matrix theirs = reference != nullptr ? all_logits(*reference, window, pool) : matrix();
    const std::size_t vocab = m.shape.vocab_size;
    for (std::size_t t = 0; t + 1 < window.size(); ++t) {
        const auto q = log_probabilities(&ours(t, 0), vocab);
        result.nll -= q[window[t + 1]];
        if (reference == nullptr) continue;
        const auto p = log_probabilities(&theirs(t, 0), vocab);
        for (std::size_t i = 0; i < vocab; ++i) result.kl += std::exp(p[i]) * (p[i] - q[i]);
        result.agree += static_cast<std::size_t>(std::ranges::max_element(p) - p.begin() ==
                                                 std::ranges::max_element(q) - q.begin());
    }
    return result;
}

}  // namespace

evaluation evaluate(const model& m, const model* reference, const windows& text, gptq::thread_pool& pool,
                    const on_progress& progress) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<tally> tallies(text.size());
    std::atomic<std::size_t> done{0};
    pool.for_each(text.size(), [&](std::size_t w) {
        tallies[w] = evaluate_window(m, reference, text[w], pool);
        progress(++done, text.size());
    });
    evaluation result;
    double nll = 0, kl = 0, agree = 0;
    for (std::size_t w = 0; w < text.size(); ++w) {
        result.predictions += text[w].size() - 1;
        nll += tallies[w].nll;
        kl += tallies[w].kl;
        agree += static_cast<double>(tallies[w].agree);
    }
    const auto count = static_cast<double>(result.predictions);
    result.perplexity = std::exp(nll / count);
    if (reference != nullptr) {
        result.kl_divergence = kl / count;
        result.top1_agreement = agree / count;
    }
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
}

}  // namespace llama
