#include <gptq/gptq.hpp>

std::size_t groups_by_b() { return gptq::group_count(300, 128); }
