#!/bin/sh
# Each .pc file, and the program that takes it.
set -e
c++ -std=c++20 -O3 -march=native main.cpp $(pkg-config --cflags --libs gptq) -o engine

c++ -std=c++20 io.cpp $(pkg-config --cflags --libs gptq-io) -o io
c++ -std=c++20 runtime.cpp $(pkg-config --cflags --libs gptq-runtime) -o runtime
