#include "windows.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <iterator>

#include <gptq/core/error.hpp>

namespace llama {
namespace {

using gptq::detail::fail;

std::string read_bytes(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file || std::filesystem::is_directory(path)) fail<gptq::file_error>(path.string(), ": cannot be read");
    return {std::istreambuf_iterator<char>(file), {}};
}

void expect_one_window(std::size_t tokens, std::size_t context) {
    if (tokens < context)
        fail<gptq::option_error>("the text has ", tokens, " tokens, but one window takes ", context,
                                 ": give more text or a smaller --context");
}

/// 53 random bits in [0, 1): std::uniform_real_distribution differs between standard libraries.
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11U) * 0x1p-53; }

}  // namespace

token_ids read_ids(const std::filesystem::path& file) {
    const std::string bytes = read_bytes(file);
    if (bytes.size() % 2 != 0)
        fail<gptq::format_error>(file.string(), ": has ", bytes.size(), " bytes, which is odd; expected uint16 ids");
    token_ids ids(bytes.size() / 2);
    for (std::size_t i = 0; i < ids.size(); ++i)
        ids[i] = static_cast<unsigned char>(bytes[2 * i]) |
                 static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[2 * i + 1])) << 8U;
    return ids;
}

token_ids read_text(const std::filesystem::path& file, const tokenizer& words, const config& shape) {
    token_ids ids = words.encode(read_bytes(file));
    if (const auto bos = shape.bos ? shape.bos : words.bos()) ids.insert(ids.begin(), *bos);
    return ids;
}

windows cut(std::span<const std::uint32_t> ids, std::size_t context, std::size_t limit) {
    expect_one_window(ids.size(), context);
    windows result;
    for (std::size_t first = 0; first + context <= ids.size() && result.size() < limit; first += context)
        result.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(first),
                            ids.begin() + static_cast<std::ptrdiff_t>(first + context));
    return result;
}

windows cut_randomly(std::span<const std::uint32_t> ids, std::size_t context, std::size_t count, std::uint64_t seed) {
    expect_one_window(ids.size(), context);
    std::mt19937_64 random(seed);
    windows result;
    for (std::size_t w = 0; w < count; ++w) {
        const auto first = static_cast<std::size_t>(uniform(random) * static_cast<double>(ids.size() - context + 1));
        const auto window = ids.subspan(first, context);
        result.emplace_back(window.begin(), window.end());
    }
    return result;
}

std::uint32_t sample(std::span<const float> row, double temperature, std::mt19937_64& random) {
    const auto top = std::ranges::max_element(row);
    if (temperature <= 0) return static_cast<std::uint32_t>(top - row.begin());
    std::vector<double> cumulative(row.size());
    double sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i)
        cumulative[i] = sum += std::exp((static_cast<double>(row[i]) - static_cast<double>(*top)) / temperature);
    const auto drawn = std::ranges::upper_bound(cumulative, uniform(random) * sum);
    return static_cast<std::uint32_t>(std::min<std::ptrdiff_t>(drawn - cumulative.begin(), std::ssize(row) - 1));
}

windows sample_windows(const model& m, std::size_t context, std::size_t count, std::uint64_t seed,
                       gptq::thread_pool& pool, const on_progress& progress) {
    constexpr std::size_t together = 32;  // sequences that share each pass over the weights
    const std::uint32_t begin = m.shape.bos.value_or(0);
    windows result(count, token_ids{begin});
    std::atomic<std::size_t> done{0};
    pool.for_each((count + together - 1) / together, [&](std::size_t batch) {
        const std::size_t first = batch * together, size = std::min(together, count - first);
        std::vector<sequence_state> states(size);
        std::vector<std::mt19937_64> random;
        std::vector<batch_part> parts;
        token_ids last(size, begin);
        for (std::size_t s = 0; s < size; ++s) {
            random.emplace_back(seed * 1000003 + first + s);
            parts.push_back({&states[s], 1});
        }
        for (std::size_t t = 1; t < context; ++t) {
            const matrix rows = logits(m, forward(m, last, parts, pool), pool);
            for (std::size_t s = 0; s < size; ++s) {
                last[s] = sample({&rows(s, 0), m.shape.vocab_size}, 1.0, random[s]);
                result[first + s].push_back(last[s]);
            }
            progress(done += size, count * (context - 1));
        }
    });
    return result;
}

}  // namespace llama
