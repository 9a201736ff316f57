#include <gptq/io.hpp>

#include <cstdio>

int main() {
    const auto quantizer = gptq::io::gptq_config{}.quantizer.front();
    std::printf("io: %s\n", quantizer.c_str());
    return quantizer.starts_with("gptq:") ? 0 : 1;
}
