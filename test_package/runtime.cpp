#include <gptq/runtime.hpp>

#include <cstdio>

int main() {
    const auto instructions = gptq::isa::native::name;
    std::printf("runtime of gptq %s: %s\n", gptq::version_string.data(), instructions.data());
    gptq::thread_pool pool(2);
    return pool.concurrency() == 2 ? 0 : 1;
}
