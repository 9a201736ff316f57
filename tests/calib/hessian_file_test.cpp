// There and back of the real Hessian; tests/io/hessian_file_test.cpp tests the file itself.
#include <gptq/io/hessian_file.hpp>

#include <algorithm>
#include <random>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/calib/hessian.hpp>

#include "support/catch.hpp"
#include "support/temp_folder.hpp"

namespace hessian_file_test {

namespace {

using namespace gptq;

template <class T>
hessian<T> shard(unsigned seed, std::size_t n, std::size_t tokens) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> x(tokens * n), weights(tokens);
    for (float& v : x) v = normal(random);
    for (float& w : weights) w = std::abs(normal(random));
    x[3] = std::numeric_limits<float>::infinity();
    hessian<T> h(n);
    h.add(view_of(x.data(), tokens, n), weights);
    return h;
}

template <class A, class B>
bool same_sums(const hessian<A>& a, const hessian<B>& b) {
    for (std::size_t r = 0; r < a.in_features(); ++r)
        if (!std::ranges::equal(a.sum_row(r), b.sum_row(r))) return false;
    return a.in_features() == b.in_features() && a.tokens() == b.tokens() && a.weight() == b.weight() &&
           a.refused_tokens() == b.refused_tokens();
}

TEMPLATE_TEST_CASE("shards saved, loaded and merged are the bits of shards merged in memory", "", float, double) {
    const temp_folder folder;
    for (const std::size_t n : {1U, 7U, 130U}) {
        auto a = shard<TestType>(1, n, 50), b = shard<TestType>(2, n, 90);
        io::save_hessian(folder / "a.safetensors", a);
        io::save_hessian(folder / "b.safetensors", b);
        auto loaded = io::load_hessian<hessian<TestType>>(folder / "a.safetensors");
        REQUIRE(same_sums(loaded, a));
        loaded.merge(io::load_hessian<hessian<TestType>>(folder / "b.safetensors"));
        a.merge(b);
        CHECK(same_sums(loaded, a));
        CHECK(loaded.refused_tokens() == 2);
        const auto from_file = factorize(std::move(loaded)), from_memory = factorize(std::move(a));
        for (std::size_t r = 0; r < n; ++r)
            for (std::size_t c = 0; c <= r; ++c) REQUIRE(from_file.lower(r, c) == from_memory.lower(r, c));
    }
}

TEST_CASE("a file of floats becomes a Hessian in double with the same values") {
    const temp_folder folder;
    const auto h = shard<float>(3, 40, 60);
    io::save_hessian(folder / "h", h);
    CHECK(same_sums(io::load_hessian<hessian<double>>(folder / "h"), h));
}

TEST_CASE("a Hessian that has seen nothing can be saved and merged into") {
    const temp_folder folder;
    io::save_hessian(folder / "h", hessian<float>(5));
    auto h = io::load_hessian<hessian<float>>(folder / "h");
    CHECK(h.tokens() == 0);
    h.merge(shard<float>(4, 5, 9));
    CHECK(same_sums(h, shard<float>(4, 5, 9)));
}

}  // namespace

}  // namespace hessian_file_test
