// What a solve allocates: every operator new of this program is counted.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include <gptq/calib/factor.hpp>
#include <gptq/grid/uniform_grid.hpp>
#include <gptq/solve/solver.hpp>

#include "support/catch.hpp"
#include "support/random_layer.hpp"

namespace {

std::atomic<std::size_t> held{0}, peak{0};

void* counted(std::size_t size) {
    // The size lies before the block, at the distance that keeps it aligned for any vector type.
    constexpr std::size_t header = 64;
    auto* const block = static_cast<std::byte*>(std::aligned_alloc(header, (size + 2 * header - 1) / header * header));
    if (block == nullptr) throw std::bad_alloc();
    ::new (block) std::size_t(size);
    const std::size_t now = held += size;
    std::size_t before = peak;
    while (before < now && !peak.compare_exchange_weak(before, now)) {
    }
    return block + header;
}

void uncounted(void* p) noexcept {
    if (p == nullptr) return;
    auto* const block = static_cast<std::byte*>(p) - 64;
    held -= *std::launder(reinterpret_cast<std::size_t*>(block));
    std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return counted(size); }
void operator delete(void* p) noexcept { uncounted(p); }
void operator delete[](void* p) noexcept { uncounted(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { uncounted(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { uncounted(p); }
void operator delete(void* p, std::size_t) noexcept { uncounted(p); }
void operator delete[](void* p, std::size_t) noexcept { uncounted(p); }

namespace {

using namespace gptq;

/// The most memory that f held at once beyond what there was before it.
template <class F>
std::size_t peak_of(F&& f) {
    peak = held.load();
    const std::size_t before = held;
    f();
    return peak - before;
}

TEST_CASE("beyond Hessian, weights and result a solve holds 5 % of n² floats and 2 MiB per thread") {
    const std::size_t n = 1536, rows = 1100;
    std::mt19937 random(1);
    const auto x = support::normal_values(random, 256 * n);
    auto w = support::normal_values(random, rows * n);
    for (const std::size_t count : {1U, 2U, 5U})
        for (const auto order : {act_order::none, act_order::descending, act_order::group_aware}) {
            hessian<float> h(n);
            h.add(view_of(x.data(), 256, n));
            const threads run{count};
            factor<float> f;
            solution<uniform_grid> solved;
            const std::size_t extra = peak_of([&] {
                f = factorize(std::move(h), {.order = order}, run);
                solved = solve_in_place(view_of(w.data(), rows, n), f, uniform_grid{}, {}, run);
            });
            const std::size_t result = solved.codes.codes.capacity() +
                                       solved.codes.parameters.capacity() * sizeof(affine) +
                                       solved.codes.g_idx.capacity() * sizeof(std::int32_t);
            INFO(count << " threads: " << extra - result << " bytes");
            CHECK(extra - result <= n * n * sizeof(float) / 20 + count * (2U << 20U));
        }
}

}  // namespace
