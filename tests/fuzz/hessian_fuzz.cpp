// A Hessian's file, read as floats and as doubles.
#include <gptq/io/hessian_file.hpp>

#include <cmath>
#include <type_traits>
#include <vector>

#include "fuzz/target.hpp"

namespace {

using namespace gptq::io;

struct counts {
    std::size_t tokens, refused;
    double weight;
};

/// The least that load_hessian asks of a Hessian.
template <class T>
struct rows_of_sums {
    using value_type = T;
    counts seen;
    std::vector<std::vector<T>> rows;

    [[nodiscard]] std::size_t in_features() const { return rows.size(); }
    [[nodiscard]] std::size_t tokens() const { return seen.tokens; }
    [[nodiscard]] std::size_t refused_tokens() const { return seen.refused; }
    [[nodiscard]] double weight() const { return seen.weight; }
    [[nodiscard]] std::span<const T> sum_row(std::size_t r) const { return rows[r]; }

    template <class Fill>
    [[nodiscard]] static rows_of_sums from_sum(std::size_t n, const counts& seen, Fill&& fill) {
        rows_of_sums h{seen, {}};
        for (std::size_t r = 0; r < n; ++r) fill(r, std::span<T>(h.rows.emplace_back(r + 1)));
        return h;
    }
};

template <class T>
void expect_consistent(std::span<const std::byte> bytes) {
    const auto h = load_hessian<rows_of_sums<T>>(safetensors::over(bytes, "input.safetensors"));
    fuzz::require(std::isfinite(h.weight()) && h.weight() >= 0 && h.in_features() > 0);
    for (const auto& row : h.rows) {
        for (const T value : row) fuzz::require(std::isfinite(value));
        fuzz::require(row.back() >= 0);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = fuzz::bytes_of(data, size);
    const bool floats = fuzz::accepts([&] { expect_consistent<float>(bytes); });
    const bool doubles = fuzz::accepts([&] { expect_consistent<double>(bytes); });
    fuzz::require(doubles || !floats);
    return 0;
}
