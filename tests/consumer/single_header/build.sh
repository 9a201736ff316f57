#!/bin/sh
# One file, made by the library's tools/amalgamate.py, and a compiler.
set -e
python3 third_party/gptq/tools/amalgamate.py gptq_runtime.hpp
c++ -std=c++20 -O3 -march=native main.cpp -o engine
