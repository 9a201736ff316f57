#!/bin/sh
# In a copy of the library: nothing is compiled, and nothing of what its components need is looked for.
set -e
cmake -B build -DGPTQ_BUILD_TESTS=OFF -DGPTQ_BUILD_EXAMPLES=OFF
cmake --install build --prefix "$HOME/.local"
