#!/usr/bin/env python3
"""Counts, in the assembly of the kernels' hot loops, the accesses to the stack: what docs/kernels.md shows.

    count_spills.py [COMPILER…]      such as g++, or clang++ -O2; g++ -O3 if nothing is given

A step's loop reaches from its first product to its last; on either side of it a compiler may keep what it likes.
"""
import re
import subprocess
import sys
from pathlib import Path

INCLUDE = Path(__file__).resolve().parent.parent / "include"
ISAS = {
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl"],
    "avx512vnni": ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"],
}
SOURCE = """
#include <gptq/runtime.hpp>
using namespace gptq;
using kernel = impl::tile_kernel<isa::native, {bits}, digits<{digits}>, {tokens}>;
void add(const impl::tile_steps& steps, const impl::tile_parameters& p, impl::block_range r, const kernel::tokens& x,
         impl::tile_sums* sums) {{ kernel::add(steps, p, r, 4, x, sums); }}
"""
PRODUCT = re.compile(r"\tvp(maddubsw|dpbusd)")


def spills(compiler, isa, bits, digits, tokens):
    source = SOURCE.format(bits=bits, digits=digits, tokens=tokens)
    command = [*compiler, "-std=c++20", f"-I{INCLUDE}", *ISAS[isa], "-S", "-o", "-", "-x", "c++", "-"]
    lines = subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout.splitlines()
    products = [i for i, line in enumerate(lines) if PRODUCT.search(line)]
    return sum("(%rsp" in line for line in lines[products[0]:products[-1]])


def main():
    compiler = sys.argv[1:] or ["g++", "-O3"]
    print("| | `digits<1>` | `digits<2>` | `digits<3>` |\n|---|---|---|---|")
    for isa in ISAS:
        most = {"avx2": (4, 2, 1)}.get(isa, (8, 4, 4))
        for bits in (2, 3, 4, 8):
            print(f"| {isa}, {bits} bits, 1 token |", " | ".join(str(spills(compiler, isa, bits, d, 1)) for d in (1, 2, 3)), "|")
        print(f"| {isa}, 4 bits, {most[0]}, {most[1]}, {most[2]} tokens |",
              " | ".join(str(spills(compiler, isa, 4, d, most[d - 1])) for d in (1, 2, 3)), "|")


if __name__ == "__main__":
    main()
