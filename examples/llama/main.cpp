// gptq-llama: quantizes and runs LLaMA models. An example of how the library composes into an engine:
//   projection.hpp   where a linear layer is float weights or packed ones
//   model.hpp        the forward pass around it
//   quantize.hpp     activations → Hessian → factor → solve → pack → file, layer by layer
#include <cstdio>
#include <exception>

#include <gptq/gptq.hpp>

#include "commands.hpp"

int main(int argc, char** argv) {
    CLI::App app("Quantizes LLaMA models with GPTQ, and runs them on the CPU.");
    app.require_subcommand(1);
    llama::add_quantize(app);
    llama::add_eval(app);
    llama::add_generate(app);
    llama::add_inspect(app);
    llama::add_compare(app);
    // All threads are the engine's own: BLAS calls run on the thread that makes them.
    const gptq::blas::single_threaded guard;
    try {
        app.parse(argc, argv);
        return 0;
    } catch (const CLI::ParseError& e) {
        return app.exit(e);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "gptq-llama: %s\n", e.what());
        return 1;
    }
}
