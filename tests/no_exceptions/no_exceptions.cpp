// Compiled with -fno-exceptions -fno-rtti: that gptq/runtime.hpp multiplies as ever, on threads too, and that an error
// is one line on stderr and the end of the program. No Catch2, which needs exceptions.
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <gptq/runtime.hpp>

#if GPTQ_WITH_EXCEPTIONS
#error "this is for programs without exceptions"
#endif

namespace {

constexpr std::size_t outputs = 16, inputs = 32;

/// Code i % 16 for input i, zero point 8, scale 1/2.
gptq::packed_linear some_layer() {
    gptq::quantized<gptq::uniform_grid> q{{.bits = 4, .group_size = 32}, outputs, inputs, {}, {}, {}};
    for (std::size_t i = 0; i < outputs * inputs; ++i) q.codes.push_back(static_cast<std::uint8_t>(i % 16));
    q.parameters.assign(outputs, {0.5F, 8});
    q.g_idx.resize(inputs);
    return gptq::pack(q);
}

/// The sum of all inputs' weights is 2·(0 + 1 + … + 15 - 16·8)/2 = -8. Ones are exact in 16 bits.
bool multiplies() {
    const gptq::linear layer(some_layer());
    const std::vector<float> x(2 * inputs, 1.0F);
    std::array<float, 2 * outputs> y{};
    gptq::gemm(layer, gptq::view_of(x.data(), 2, inputs), gptq::view_of(y.data(), 2, outputs));
    for (const float sum : y)
        if (sum != -8) return false;
    return true;
}

template <class Executor>
bool runs_tasks(Executor executor) {
    std::array<int, 100> calls{};
    executor.for_each(calls.size(), [&](std::size_t i) { ++calls[i]; });
    for (const int count : calls)
        if (count != 1) return false;
    return true;
}

/// Whether f ends its process by abort, and what it says on stderr before.
template <class F>
bool aborts_with(std::string_view expected, F&& f) {
    int ends[2];
    if (::pipe(ends) != 0) return false;
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        f();
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string said;
    for (char c; ::read(ends[0], &c, 1) == 1;) said += c;
    ::close(ends[0]);
    int status = 0;
    return ::waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
           said.starts_with(expected);  // after which an emulator has its own say
}

bool expect(bool good, const char* what) {
    if (!good) std::fprintf(stderr, "FAILED: %s\n", what);
    return good;
}

}  // namespace

int main() {
    const bool good[] = {
        expect(multiplies(), "a product"),
        expect(runs_tasks(gptq::threads{3}), "tasks on threads of their own"),
        expect(runs_tasks(gptq::thread_pool(3)), "tasks on a pool"),
        expect(aborts_with("gptq: packed_linear: bits is 5, expected 2, 3, 4 or 8\n",
                           [] {
                               auto layer = some_layer();
                               layer.bits = 5;
                               gptq::check(layer);
                           }),
               "an error is printed and aborts"),
    };
    for (const bool one : good)
        if (!one) return 1;
}
