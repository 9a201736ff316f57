// The subcommands of gptq-llama: each declares its options on the command line, and what to do with them.
#pragma once

#include <CLI/CLI.hpp>

namespace llama {

void add_quantize(CLI::App& app);
void add_eval(CLI::App& app);
void add_generate(CLI::App& app);
void add_inspect(CLI::App& app);
void add_compare(CLI::App& app);
void add_convert(CLI::App& app);

}  // namespace llama
