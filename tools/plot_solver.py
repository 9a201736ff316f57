#!/usr/bin/env python3
"""Draws docs/solver_time.svg from solver_bench's own output. Needs matplotlib.

    build/release/bench/solver_bench --benchmark_filter=by_size --benchmark_out=solver.json --benchmark_out_format=json
    tools/plot_solver.py solver.json docs/solver_time.svg
"""
import json
import re
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LINES = {"textbook": ("the paper's algorithm, on BLAS", "#b0b0b0", "s"),
         "ours": ("gptq: factorize + solve", "#c0392b", "o"),
         "floor": ("floor: potrf + gemm", "#2c3e50", "_")}


def read(path):
    """{threads: {line: [(n, seconds), …]}}"""
    result = {}
    with open(path) as file:
        for run in json.load(file)["benchmarks"]:
            found = re.match(r"by_size/in:(\d+)/threads:(\d+)/", run["name"])
            if not found:
                continue
            n, threads = map(int, found.groups())
            for line in LINES:
                result.setdefault(threads, {}).setdefault(line, []).append((n, run[line]))
    if not result:
        sys.exit(f"{path}: holds no run of by_size")
    return result


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    runs = read(sys.argv[1])
    figure, axes = plt.subplots(1, len(runs), figsize=(4.5 * len(runs), 4), sharey=True, squeeze=False)
    for axis, (threads, lines) in zip(axes[0], sorted(runs.items())):
        for line, (label, color, marker) in LINES.items():
            axis.plot(*zip(*sorted(lines[line])), marker=marker, color=color, label=label)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks([n for n, _ in lines["ours"]], [str(n) for n, _ in lines["ours"]])
        axis.set_title(f"{threads} thread" + "s" * (threads > 1))
        axis.set_xlabel("n (weights n x n, 4 bits, group 128)")
        axis.grid(True, which="major", color="#eeeeee")
    axes[0][0].set_ylabel("seconds")
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Date": None} if sys.argv[2].endswith(".svg") else None)


if __name__ == "__main__":
    main()
