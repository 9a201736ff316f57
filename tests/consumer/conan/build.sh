#!/bin/sh
# A project of CMake's whose libraries are Conan's.
set -e
conan install . --output-folder build -s compiler.cppstd=20
cmake -B build -DCMAKE_TOOLCHAIN_FILE=conan_toolchain.cmake -DCMAKE_BUILD_TYPE=Release
cmake --build build
