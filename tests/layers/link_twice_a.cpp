// Together with link_twice_b.cpp: two translation units with everything in them link into one program.
#include <gptq/gptq.hpp>

std::size_t groups_by_a() { return gptq::group_count(300, 128); }
