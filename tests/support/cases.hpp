// How many random cases a test runs: all that it wants, or fewer in a build whose programs are emulated.
#pragma once

#include <algorithm>

namespace support {

[[nodiscard]] constexpr int cases(int wanted) noexcept {
#if defined(GPTQ_TEST_CASES)
    return std::min(wanted, GPTQ_TEST_CASES);
#else
    return wanted;
#endif
}

}  // namespace support
