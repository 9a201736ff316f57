// Calibration inputs as programs have them: batches of any size, type and strides, added from where they lie. The
// Hessian is that of all tokens at once; a token that is not finite is left out and counted.
#include <array>
#include <cstddef>
#include <iostream>
#include <limits>
#include <vector>

#include <gptq/calib/hessian.hpp>

namespace {

constexpr std::size_t features = 96;

/// Some engine's tensor, with rows of 128 of which 96 are used. The library takes whatever has these five members.
struct engine_tensor {
    std::size_t rows;
    std::vector<float> memory = std::vector<float>(rows * 128);

    [[nodiscard]] static std::size_t dimension() { return 2; }
    [[nodiscard]] std::array<std::size_t, 2> shape() const { return {rows, features}; }
    [[nodiscard]] static std::array<std::ptrdiff_t, 2> strides() { return {128, 1}; }
    [[nodiscard]] static std::size_t data_offset() { return 0; }
    [[nodiscard]] float* data() { return memory.data(); }
    [[nodiscard]] const float* data() const { return memory.data(); }
};

/// Writes tokens `first`, first + 1, …: quarters from -2 to 2, exact in 16 bits, as their products' sums are in float.
template <class T>
void fill(gptq::matrix_view<T> x, std::size_t first) {
    for (std::size_t t = 0; t < x.rows; ++t)
        for (std::size_t f = 0; f < x.cols; ++f) {
            const std::size_t i = (first + t) * features + f;
            x(t, f) = gptq::round_to<T>(static_cast<float>(i * i % 17) / 4 - 2);
        }
}

}  // namespace

int main() {
    gptq::hessian streamed(features);
    const auto add = [&](const char* what, auto&& x) {
        const auto view = gptq::view_of(x);
        fill(view, streamed.tokens());
        streamed.add(x);  // nothing is kept of it
        std::cout << view.rows << " tokens, " << what << '\n';
    };
    std::vector<gptq::f16> halves(100 * features);
    std::vector<gptq::bf16> brain_floats(features);
    std::vector<double> columns(50 * features);
    add("f16 at a pointer", gptq::view_of(halves.data(), 100, features));
    add("bf16 at a pointer", gptq::view_of(brain_floats.data(), 1, features));
    add("double, column after column", gptq::matrix_view<double>{columns.data(), 50, features, 1, 50});
    add("an xt::xtensor of float", gptq::matrix<float>::from_shape({300, features}));
    add("a tensor of another library", engine_tensor{49});

    gptq::hessian at_once(features);
    auto all = gptq::matrix<float>::from_shape({501, features});
    fill(gptq::view_of(all), 0);
    all(500, 7) = std::numeric_limits<float>::quiet_NaN();
    at_once.add(all);
    const bool same = streamed.to_matrix() == at_once.to_matrix();
    std::cout << "all at once: " << (same ? "the same" : "another") << " Hessian, of " << at_once.tokens()
              << " tokens; refused, for a NaN: " << at_once.refused_tokens() << '\n';
    return same && streamed.tokens() == 500 && at_once.refused_tokens() == 1 ? 0 : 1;
}
