// What two builds of one source compute in one program.
#pragma once

#include <cstddef>

namespace two_isas {

inline constexpr std::size_t tokens = 3, inputs = 160, outputs = 40;

struct products {
    const char* isa;
    float y[tokens * outputs];
};

}  // namespace two_isas
