// Each line below `refused:` in this folder holds a mistake and its correction: pick is the first where MISTAKES is 1,
// and the second where it is 0. check.py compiles a file with either.
#pragma once

#include <type_traits>
#include <utility>

template <auto Mistake, auto Right>
inline constexpr auto pick_value = MISTAKES ? Mistake : Right;

template <class Mistake, class Right>
using pick_type = std::conditional_t<MISTAKES, Mistake, Right>;

template <class Mistake, class Right>
decltype(auto) pick(Mistake&& mistake, Right&& right) {
    if constexpr (MISTAKES)
        return std::forward<Mistake>(mistake);
    else
        return std::forward<Right>(right);
}
