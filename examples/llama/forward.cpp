// The forward pass. Written to be read: the matrix products are where the time goes, and they are the library's.
#include <algorithm>
#include <cmath>

#include "model.hpp"

namespace llama {
namespace {

void add(matrix& x, const matrix& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] += y.data()[i];
}

/// Rotary embedding in the half-split convention: the pair (i, i + d/2) of each head turns by position·frequency_i.
void rotate(const config& shape, float* row, std::size_t heads, std::size_t position) {
    const std::size_t half = shape.head_dim / 2;
    for (std::size_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(position) * shape.inverse_frequencies[i];
        const float c = std::cos(angle), s = std::sin(angle);
        for (std::size_t h = 0; h < heads; ++h) {
            float& a = row[h * shape.head_dim + i];
            float& b = row[h * shape.head_dim + half + i];
            const float turned = a * c - b * s;
            b = b * c + a * s;
            a = turned;
        }
    }
}

/// Softmax over the first `visible` scores of a row; the others become 0.
void softmax_visible(float* row, std::size_t visible, std::size_t size) {
    const float top = *std::max_element(row, row + visible);
    float sum = 0;
    for (std::size_t j = 0; j < visible; ++j) sum += row[j] = std::exp(row[j] - top);
    for (std::size_t j = 0; j < visible; ++j) row[j] /= sum;
    std::fill(row + visible, row + size, 0.0F);
}

/// One query head over one sequence's new rows: softmax(Q·Kᵀ/√d)·V, causal.
/// q and out point at the head's columns of the segment's first row; both have query_size columns.
void attend(const config& shape, const kv_cache& cache, std::size_t head, const float* q, std::size_t rows,
            float* out) {
    const std::size_t d = shape.head_dim, width = shape.query_size(), kv_width = shape.kv_size();
    const std::size_t kv_column = head / (shape.heads / shape.kv_heads) * d;
    const std::size_t before = cache.tokens - rows;
    std::vector<float> scores(rows * cache.tokens);
    gptq::blas::gemm(gptq::blas::plain, gptq::blas::transposed, rows, cache.tokens, d,
                     1.0F / std::sqrt(static_cast<float>(d)), q, width, cache.keys.data() + kv_column, kv_width, 0.0F,
                     scores.data(), cache.tokens);
    for (std::size_t r = 0; r < rows; ++r)
        softmax_visible(scores.data() + r * cache.tokens, before + r + 1, cache.tokens);
    gptq::blas::gemm(gptq::blas::plain, gptq::blas::plain, rows, d, cache.tokens, 1.0F, scores.data(), cache.tokens,
                     cache.values.data() + kv_column, kv_width, 0.0F, out, width);
}

}  // namespace

matrix embed(const matrix& embedding, std::span<const std::uint32_t> ids) {
    const std::size_t width = embedding.shape()[1];
    matrix x = make_matrix(ids.size(), width);
    for (std::size_t r = 0; r < ids.size(); ++r) std::copy_n(embedding.data() + ids[r] * width, width, &x(r, 0));
    return x;
}

matrix normed(const matrix& x, std::span<const float> weight, float eps) {
    const std::size_t rows = x.shape()[0], width = x.shape()[1];
    matrix y = make_matrix(rows, width);
    for (std::size_t r = 0; r < rows; ++r) {
        double squares = 0;
        for (std::size_t c = 0; c < width; ++c) squares += static_cast<double>(x(r, c)) * static_cast<double>(x(r, c));
        const auto mean = static_cast<float>(squares / static_cast<double>(width));
        const float scale = 1.0F / std::sqrt(mean + eps);
        for (std::size_t c = 0; c < width; ++c) y(r, c) = x(r, c) * scale * weight[c];
    }
    return y;
}

matrix attention(const config& shape, const layer& l, const matrix& n, std::span<const segment> segments,
                 gptq::thread_pool& pool) {
    matrix q = l.q(n, pool), k = l.k(n, pool);
    const matrix v = l.v(n, pool);
    std::vector<std::size_t> first_row;
    std::size_t row = 0;
    for (const auto& [cache, count] : segments) {
        first_row.push_back(row);
        for (std::size_t r = row; r < row + count; ++r) {
            rotate(shape, &q(r, 0), shape.heads, cache->tokens + r - row);
            rotate(shape, &k(r, 0), shape.kv_heads, cache->tokens + r - row);
        }
        cache->keys.insert(cache->keys.end(), &k(row, 0), &k(row, 0) + count * shape.kv_size());
        cache->values.insert(cache->values.end(), &v(row, 0), &v(row, 0) + count * shape.kv_size());
        cache->tokens += count;
        row += count;
    }
    matrix out = make_matrix(row, shape.query_size());
    pool.for_each(segments.size() * shape.heads, [&](std::size_t task) {
        const std::size_t s = task / shape.heads, head = task % shape.heads, column = head * shape.head_dim;
        attend(shape, *segments[s].cache, head, &q(first_row[s], column), segments[s].count,
               &out(first_row[s], column));
    });
    return out;
}

matrix mlp_hidden(const layer& l, const matrix& n, gptq::thread_pool& pool) {
    matrix gate = l.gate(n, pool);
    const matrix up = l.up(n, pool);
    for (std::size_t i = 0; i < gate.size(); ++i) {
        float& g = gate.data()[i];
        g = g / (1.0F + std::exp(-g)) * up.data()[i];
    }
    return gate;
}

matrix forward(const model& m, std::span<const std::uint32_t> ids, std::span<const batch_part> parts,
               gptq::thread_pool& pool) {
    matrix x = embed(m.embedding, ids);
    std::vector<segment> segments(parts.size());
    for (std::size_t i = 0; i < m.layers.size(); ++i) {
        const layer& l = m.layers[i];
        for (std::size_t s = 0; s < parts.size(); ++s) {
            parts[s].state->resize(m.layers.size());
            segments[s] = {&(*parts[s].state)[i], parts[s].count};
        }
        const float eps = m.shape.rms_norm_eps;
        add(x, l.o(attention(m.shape, l, normed(x, l.attention_norm, eps), segments, pool), pool));
        add(x, l.down(mlp_hidden(l, normed(x, l.mlp_norm, eps), pool), pool));
    }
    return x;
}

matrix logits(const model& m, const matrix& hidden, gptq::thread_pool& pool) {
    const matrix n = normed(hidden, m.final_norm, m.shape.rms_norm_eps);
    if (m.head) return (*m.head)(n, pool);
    matrix y = make_matrix(n.shape()[0], m.shape.vocab_size);
    gptq::blas::gemm(gptq::blas::plain, gptq::blas::transposed, n.shape()[0], m.shape.vocab_size, m.shape.hidden_size,
                     1.0F, n.data(), m.shape.hidden_size, m.embedding.data(), m.shape.hidden_size, 0.0F, y.data(),
                     m.shape.vocab_size);
    return y;
}

}  // namespace llama
