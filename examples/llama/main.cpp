// gptq-llama: quantizes and runs LLaMA models. An example of how the library composes into an engine:
//   projection.hpp   where a linear layer is float weights or packed ones
//   model.hpp        the forward pass around it
//   quantize.hpp     activations → Hessian → factor → solve → pack → file, layer by layer
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>

#include <gptq/gptq.hpp>

#include "commands.hpp"

namespace {

/// A standard stream that the caller has closed must not become the number of a model file.
void reserve_standard_streams() {
    for (int fd = open("/dev/null", O_RDWR); fd >= 0 && fd <= STDERR_FILENO; fd = open("/dev/null", O_RDWR)) {
    }
}

}  // namespace

int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape): std::terminate names what cannot be reported
    reserve_standard_streams();
    CLI::App app("Quantizes LLaMA models with GPTQ, and runs them on the CPU.");
    app.require_subcommand(1);
    llama::add_quantize(app);
    llama::add_eval(app);
    llama::add_generate(app);
    llama::add_inspect(app);
    llama::add_compare(app);
    llama::add_convert(app);
    // All threads are the engine's own: BLAS calls run on the thread that makes them.
    const gptq::blas::single_threaded guard;
    try {
        app.parse(argc, argv);
        std::cout.flush();
        if (!std::cout) gptq::detail::fail<gptq::file_error>("cannot write to the standard output");
        return 0;
    } catch (const CLI::ParseError& e) {
        return app.exit(e);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "gptq-llama: %s\n", e.what());
        return 1;
    }
}
