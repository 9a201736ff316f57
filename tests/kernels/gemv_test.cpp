// Tests include/gptq/kernels/gemv.hpp, and the tile kernel below it, on every instruction set of this build.
#include <gptq/kernels/gemv.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <gptq/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/random_layer.hpp"

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#include <unistd.h>
#endif

using support::expected;
using support::layer_options;
using support::normal_values;
using support::random_layer;

namespace {

/// A layer of any size up to 70 x 300, any bits, groups, order and types.
layer_options any_options(std::mt19937& random) {
    const auto one_of = [&](auto... choices) {
        const std::common_type_t<decltype(choices)...> list[] = {choices...};
        return list[support::below(random, sizeof...(choices))];
    };
    layer_options o;
    o.out = 1 + support::below(random, 70);
    o.in = 1 + support::below(random, 300);
    o.bits = one_of(2U, 3U, 4U, 8U);
    o.group_size = one_of(-1, 1, 7, 32, 64, 100, 128);
    o.sym = one_of(false, true);
    o.act_order = one_of(false, true);
    o.bias = one_of(false, true);
    o.zeros = one_of(gptq::zero_format::v1, gptq::zero_format::v2);
    o.scales = one_of(gptq::scale_type::f16, gptq::scale_type::bf16, gptq::scale_type::f32);
    return o;
}

std::string describe(const layer_options& o) {
    return gptq::detail::text(o.out, " x ", o.in, ", ", o.bits, " bits, group size ", o.group_size,
                              o.act_order ? ", act-order" : "", o.sym ? ", symmetric" : "", o.bias ? ", bias" : "");
}

/// Equal to the bit, NaN included.
bool same(std::span<const float> a, std::span<const float> b) {
    return std::ranges::equal(
        a, b, [](float x, float y) { return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y); });
}

/// The first output beyond the documented error, or -1.
template <class Digits, class Isa>
std::ptrdiff_t first_wrong_output(const gptq::packed_linear& p, std::span<const float> x) {
    const gptq::linear layer(p);
    std::vector<float> y(p.out_features, -1);
    gptq::gemv<Digits, Isa>(layer, x, y);
    for (std::size_t o = 0; o < y.size(); ++o) {
        const auto want = expected(p, layer.layout(), Digits::limit, x, o);
        if (!(std::abs(static_cast<double>(y[o]) - want.value) <= want.tolerance))
            return static_cast<std::ptrdiff_t>(o);
    }
    return -1;
}

template <class Isa>
void check_all_digits(const gptq::packed_linear& p, std::span<const float> x) {
    REQUIRE(first_wrong_output<gptq::digits<1>, Isa>(p, x) == -1);
    REQUIRE(first_wrong_output<gptq::digits<2>, Isa>(p, x) == -1);
    REQUIRE(first_wrong_output<gptq::digits<3>, Isa>(p, x) == -1);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gemv is within its stated error of the product in double", "[kernels]", gptq::isa::compiled) {
    std::mt19937 random(11);
    for (int i = 0; i < 1000; ++i) {
        const auto options = any_options(random);
        INFO("case " << i << ": " << describe(options));
        const auto packed = random_layer(random, options);
        check_all_digits<TestType>(packed, normal_values(random, options.in));
    }
}

TEMPLATE_LIST_TEST_CASE("an outlier costs accuracy in its own block only", "[kernels]", gptq::isa::compiled) {
    std::mt19937 random(12);
    const auto packed = random_layer(random, {.out = 20, .in = 512, .group_size = gptq::per_row});
    auto x = normal_values(random, 512);
    x[200] = 1e4F;
    check_all_digits<TestType>(packed, x);  // the bound takes each block's own largest value
}

TEMPLATE_LIST_TEST_CASE("activations of any size that a float can have are within the error", "[kernels]",
                        gptq::isa::compiled) {
    std::mt19937 random(13);
    for (const float size : {1e-45F, 1e-38F, 1e-31F, 1e-30F, 1e-20F, 1e20F, 1e34F}) {
        INFO("size " << size);
        const auto packed = random_layer(random, {.out = 20, .in = 256, .bits = 3, .group_size = 64});
        auto x = normal_values(random, 256);
        for (float& v : x) v *= size;
        check_all_digits<TestType>(packed, x);
    }
    const auto packed = random_layer(random, {.out = 20, .in = 256, .bias = true});
    std::vector<float> y(20, -1);
    gptq::gemv<gptq::digits<2>, TestType>(gptq::linear(packed), std::vector<float>(256, 0.0F), y);
    CHECK(y == packed.bias);
}

TEMPLATE_LIST_TEST_CASE("the largest codes, zeros and activations do not overflow", "[kernels]", gptq::isa::compiled) {
    std::mt19937 random(14);
    for (const unsigned bits : {2U, 3U, 4U, 8U})
        for (const bool codes : {false, true})
            for (const bool zeros : {false, true})
                for (const float sign : {-1.0F, 1.0F}) {
                    auto packed = random_layer(random, {.out = 17, .in = 256, .bits = bits});
                    packed.qweight = std::vector(packed.qweight.size(), codes ? ~0U : 0U);
                    std::ranges::fill(packed.qzeros, zeros ? ~0U : 0U);
                    INFO(bits << " bits, codes " << codes << ", zeros " << zeros << ", x " << sign);
                    check_all_digits<TestType>(packed, std::vector<float>(256, sign));
                    auto mixed = normal_values(random, 256);  // low digits of -128 as well as 127
                    for (float& v : mixed) v = sign * (1 - 0.004F * std::abs(v));
                    check_all_digits<TestType>(packed, mixed);
                }
}

TEMPLATE_LIST_TEST_CASE("every instruction set gives the portable one's bits", "[kernels]", gptq::isa::compiled) {
    std::mt19937 random(15);
    for (int i = 0; i < 200; ++i) {
        const auto options = any_options(random);
        INFO("case " << i << ": " << describe(options));
        const gptq::linear layer(random_layer(random, options));
        const auto x = normal_values(random, options.in);
        std::vector<float> y(options.out), portable(options.out);
        const auto compare = [&]<class Digits>(Digits) {
            gptq::gemv<Digits, TestType>(layer, x, y);
            gptq::gemv<Digits, gptq::isa::portable>(layer, x, portable);
            REQUIRE(same(y, portable));
        };
        compare(gptq::digits<1>{});
        compare(gptq::digits<2>{});
        compare(gptq::digits<3>{});
    }
}

TEMPLATE_LIST_TEST_CASE("a row of gemm is gemv of that row, bit for bit", "[kernels]", gptq::isa::compiled) {
    std::mt19937 random(16);
    for (const std::size_t tokens : {0U, 1U, 2U, 3U, 4U, 5U, 7U, 33U, 70U}) {
        const auto options = any_options(random);
        INFO(tokens << " tokens, " << describe(options));
        const gptq::linear layer(random_layer(random, options));
        const auto x = normal_values(random, tokens * options.in);
        std::vector<float> y(tokens * options.out), row(options.out);
        const auto compare = [&]<class Digits>(Digits) {
            gptq::gemm<Digits, TestType>(layer, gptq::view_of(x.data(), tokens, options.in),
                                         gptq::view_of(y.data(), tokens, options.out));
            for (std::size_t t = 0; t < tokens; ++t) {
                gptq::gemv<Digits, TestType>(layer, std::span(x).subspan(t * options.in, options.in), row);
                REQUIRE(same(row, std::span(y).subspan(t * options.out, options.out)));
            }
        };
        compare(gptq::digits<1>{});
        compare(gptq::digits<2>{});
        compare(gptq::digits<3>{});
    }
}

TEST_CASE("gemm takes any strides and writes nothing between", "[kernels]") {
    std::mt19937 random(17);
    constexpr std::size_t tokens = 5, in = 128, out = 20;
    for (const bool act_order : {false, true}) {
        const gptq::linear layer(
            random_layer(random, {.out = out, .in = in, .group_size = 32, .act_order = act_order}));
        const auto x = normal_values(random, tokens * in);
        std::vector<float> plain(tokens * out);
        gptq::gemm(layer, gptq::view_of(x.data(), tokens, in), gptq::view_of(plain.data(), tokens, out));

        std::vector<float> columns(tokens * in * 2), scattered(tokens * out * 2 + out, -1);
        const gptq::matrix_view<float> x_by_columns{columns.data(), tokens, in, 2, 2 * tokens};
        const gptq::matrix_view<float> y_by_columns{scattered.data(), tokens, out, 1, tokens + 1};
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t i = 0; i < in; ++i) x_by_columns(t, i) = x[t * in + i];
        gptq::gemm(layer, x_by_columns, y_by_columns);
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t o = 0; o < out; ++o) CHECK(y_by_columns(t, o) == plain[t * out + o]);
        CHECK(std::ranges::count(scattered, -1.0F) == static_cast<std::ptrdiff_t>(scattered.size() - tokens * out));
    }
}

TEST_CASE("results do not depend on the executor", "[kernels]") {
    std::mt19937 random(18);
    constexpr std::size_t tokens = 3;
    for (int i = 0; i < 20; ++i) {
        const auto options = any_options(random);
        const gptq::linear layer(random_layer(random, options));
        const auto x = normal_values(random, tokens * options.in);
        const auto in = gptq::view_of(x.data(), tokens, options.in);
        std::vector<float> serial(tokens * options.out);
        gptq::gemm(layer, in, gptq::view_of(serial.data(), tokens, options.out));
        for (const std::size_t threads : {1U, 2U, 3U, 7U}) {
            INFO(threads << " threads, " << describe(options));
            gptq::thread_pool pool(threads);
            std::vector<float> y(serial.size());
            const auto out = gptq::view_of(y.data(), tokens, options.out);
            gptq::gemm(layer, in, out, pool);
            CHECK(same(y, serial));
            gptq::gemm(layer, in, out, gptq::threads{threads});
            CHECK(same(y, serial));
            gptq::gemv(layer, std::span(x).first(options.in), out.row(0), pool);
            CHECK(same(y, serial));
        }
    }
}

TEMPLATE_LIST_TEST_CASE("a NaN or an infinity makes its own token's outputs NaN, and no other's", "[kernels]",
                        gptq::isa::compiled) {
    std::mt19937 random(19);
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const gptq::linear layer(random_layer(random, {.out = 20, .in = 256}));
    for (const float poison : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
        auto x = normal_values(random, 3 * 256);
        x[256 + 100] = poison;
        std::vector<float> y(3 * 20);
        const auto poisoned_row_only = [&]<class Digits>(Digits) {
            gptq::gemm<Digits, TestType>(layer, gptq::view_of(x.data(), 3, 256), gptq::view_of(y.data(), 3, 20));
            for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y[i]) == (i / 20 == 1));
        };
        poisoned_row_only(gptq::digits<1>{});
        poisoned_row_only(gptq::digits<2>{});
        poisoned_row_only(gptq::digits<3>{});
    }
}

TEST_CASE("wrong sizes are refused before anything is written", "[kernels]") {
    std::mt19937 random(20);
    const gptq::linear layer(random_layer(random, {.out = 20, .in = 256}));
    const std::vector<float> x(3 * 256, 1);
    std::vector<float> y(3 * 20, -1);
    const auto in = gptq::view_of(x.data(), 3, 256);
    const auto out = gptq::view_of(y.data(), 3, 20);
    CHECK_THROWS_WITH(gptq::gemv(layer, std::span(x).first(255), out.row(0)), "gemv: size of x is 255, expected 256");
    CHECK_THROWS_WITH(gptq::gemv(layer, in.row(0), std::span(y).first(21)), "gemv: size of y is 21, expected 20");
    CHECK_THROWS_AS(gptq::gemm(layer, gptq::view_of(x.data(), 3, 255), out), gptq::shape_error);
    CHECK_THROWS_AS(gptq::gemm(layer, in, gptq::view_of(y.data(), 3, 19)), gptq::shape_error);
    CHECK_THROWS_AS(gptq::gemm(layer, in, out.rows_from(0, 2)), gptq::shape_error);

    gptq::activations<> a(layer.layout());
    CHECK_THROWS_WITH(gptq::gemv(layer, a, out.row(0)), "gemm: rows of y is 1, expected 0");
    a.assign(in);
    CHECK_THROWS_AS(gptq::gemm(layer, a, out.rows_from(0, 2)), gptq::shape_error);
    CHECK_THROWS_AS(gptq::gemm(layer, a, gptq::view_of(y.data(), 3, 19)), gptq::shape_error);
    CHECK(std::ranges::count(y, -1.0F) == 60);
}

TEST_CASE("activations serve every layer of their layout, whatever its bits and outputs", "[kernels]") {
    std::mt19937 random(21);
    auto queries = random_layer(random, {.out = 40, .in = 200, .bits = 4, .group_size = 64, .act_order = true});
    auto values = random_layer(random, {.out = 9, .in = 200, .bits = 8, .group_size = 64, .bias = true});
    values.g_idx = queries.g_idx;
    const gptq::linear q(queries), v(values);
    const auto x = normal_values(random, 2 * 200);
    gptq::activations<> a(q.layout());
    a.assign(gptq::view_of(x.data(), 2, 200));
    for (const gptq::linear* layer : {&q, &v}) {
        const std::size_t out = layer->out_features();
        std::vector<float> direct(2 * out), shared(2 * out);
        gptq::gemm(*layer, gptq::view_of(x.data(), 2, 200), gptq::view_of(direct.data(), 2, out));
        gptq::gemm(*layer, a, gptq::view_of(shared.data(), 2, out));
        CHECK(same(direct, shared));
        a.assign(std::span(x).first(200));
        gptq::gemv(*layer, a, std::span(shared).first(out));
        CHECK(same(direct, shared));
        a.assign(gptq::view_of(x.data(), 2, 200));
    }
    std::swap(values.g_idx[0], *std::ranges::find_if(values.g_idx, [&](auto g) { return g != values.g_idx[0]; }));
    std::vector<float> y(2 * 9);
    CHECK_THROWS_AS(gptq::gemm(gptq::linear(values), a, gptq::view_of(y.data(), 2, 9)), gptq::shape_error);
}

#if __has_include(<sys/mman.h>)
namespace {

/// Floats that end where readable memory ends, at an address that is no multiple of anything but 4.
class guarded {
public:
    explicit guarded(std::span<const float> values) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        bytes_ = (values.size_bytes() + page - 1) / page * page + page;
        memory_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        REQUIRE(memory_ != MAP_FAILED);
        REQUIRE(mprotect(memory_ + bytes_ - page, page, PROT_NONE) == 0);
        values_ = {reinterpret_cast<float*>(memory_ + bytes_ - page) - values.size(), values.size()};
        std::ranges::copy(values, values_.begin());
    }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;
    ~guarded() { munmap(memory_, bytes_); }

    [[nodiscard]] std::span<float> values() const { return values_; }

private:
    char* memory_ = nullptr;
    std::size_t bytes_ = 0;
    std::span<float> values_;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("nothing is read or written past the end of x and y", "[kernels]", gptq::isa::compiled) {
    std::mt19937 random(22);
    for (int i = 0; i < 100; ++i) {
        const auto options = any_options(random);
        const auto packed = random_layer(random, options);
        const gptq::linear layer(packed);
        const guarded x(normal_values(random, options.in)), y(std::vector<float>(options.out));
        gptq::gemv<gptq::digits<2>, TestType>(layer, x.values(), y.values());
        const std::size_t last = options.out - 1;
        const auto want = expected(packed, layer.layout(), gptq::digits<2>::limit, x.values(), last);
        CHECK(std::abs(static_cast<double>(y.values()[last]) - want.value) <= want.tolerance);
    }
}
#endif
