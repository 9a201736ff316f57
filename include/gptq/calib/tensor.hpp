// The one door to xtensor: the container that this library hands out. xtensor keeps it in different places by version.
#pragma once

#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xtensor.hpp>  // IWYU pragma: export
#else
#include <xtensor/xtensor.hpp>  // IWYU pragma: export
#endif

namespace gptq {

/// A row-major matrix that owns its memory: what the library returns where a tensor is what one wants.
template <class T>
using matrix = xt::xtensor<T, 2>;

}  // namespace gptq
