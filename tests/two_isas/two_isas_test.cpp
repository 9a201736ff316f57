// Tests that builds for two processors live in one program; core/config.hpp says how.
#include <algorithm>
#include <string_view>

#include "support/catch.hpp"
#include "two_isas/product.hpp"

#if defined(__aarch64__)
#define SMALLER_BUILD build_neon
#define LARGER_BUILD build_neon_dotprod
#else
#define SMALLER_BUILD build_portable
#define LARGER_BUILD build_avx2
#endif

namespace SMALLER_BUILD {
two_isas::products multiply();
}
namespace LARGER_BUILD {
two_isas::products multiply();
}

TEST_CASE("builds for two processors keep their kernels apart and agree to the bit", "[kernels]") {
    const auto smaller = SMALLER_BUILD::multiply(), larger = LARGER_BUILD::multiply();
    CHECK(std::string_view(smaller.isa) != larger.isa);
    CHECK(std::ranges::none_of(smaller.y, [](float y) { return y == 0; }));
    CHECK(std::ranges::equal(smaller.y, larger.y));
}
