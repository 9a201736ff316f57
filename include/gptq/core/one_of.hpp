// How this library's concepts ask for one of a few types. A disjunction of std::same_as means the same, but where none
// holds, compilers explain each of them in several lines; of this they name the one, with all types that would do.
#pragma once

#include <type_traits>

namespace gptq::detail {

template <class T, class... Types>
inline constexpr bool is_one_of = (std::is_same_v<T, Types> || ...);

}  // namespace gptq::detail
