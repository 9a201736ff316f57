// if_cpu_has FEATURE… -- COMMAND…: runs the command on an x86 processor that has the features, else ends with 77, which
// CTest reports as skipped. A program of its own, compiled for any processor: one that is compiled for another may fail
// before its main begins.
#include <cpuid.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string_view>

namespace {

struct feature {
    std::string_view name;
    unsigned leaf, subleaf;
    enum { eax, ebx, ecx } in;
    unsigned bit;
};

constexpr feature features[] = {
    {"fma", 1, 0, feature::ecx, 12},        {"f16c", 1, 0, feature::ecx, 29},     {"avx2", 7, 0, feature::ebx, 5},
    {"avx512f", 7, 0, feature::ebx, 16},    {"avx512bw", 7, 0, feature::ebx, 30}, {"avx512vl", 7, 0, feature::ebx, 31},
    {"avx512vnni", 7, 0, feature::ecx, 11}, {"avxvnni", 7, 1, feature::eax, 4},
};

bool has(std::string_view name) {
    for (const feature& f : features) {
        unsigned r[4] = {};
        if (f.name == name)
            return __get_cpuid_count(f.leaf, f.subleaf, &r[0], &r[1], &r[2], &r[3]) != 0 &&
                   (r[f.in] >> f.bit & 1U) != 0;
    }
    std::fprintf(stderr, "if_cpu_has: no feature is called %s\n", name.data());
    return false;
}

}  // namespace

int main(int, char** arguments) {
    for (++arguments; *arguments != nullptr && std::strcmp(*arguments, "--") != 0; ++arguments)
        if (!has(*arguments)) {
            std::printf("skipped: this processor has no %s\n", *arguments);
            return 77;
        }
    if (*arguments == nullptr) return 2;
    execv(arguments[1], arguments + 1);
    std::perror(arguments[1]);
    return 2;
}
