// An array one element short: what a layer with inconsistent sizes is made of.
#pragma once

#include <vector>

#include <gptq/core/shared_array.hpp>

template <class T>
std::vector<T> without_last(const gptq::shared_array<T>& values) {
    return {values.begin(), values.end() - 1};
}
