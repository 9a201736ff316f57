// Another file of a program whose main one includes the runtime too: nothing may be defined twice.
#include <gptq/runtime.hpp>

gptq::linear second(const gptq::packed_linear& packed) { return gptq::linear(packed); }
