#!/usr/bin/env python3
"""Draws docs/roofline.svg from the output of gemv_bench and gemm_bench. Needs matplotlib.

    build/release/bench/gemv_bench --benchmark_filter='/(avx2|avx512vnni)/.*/out:4096/in:4096' \\
        --benchmark_out=gemv.json --benchmark_out_format=json
    build/release/bench/gemm_bench --benchmark_filter='/(avx2|avx512vnni)/' \\
        --benchmark_out=gemm.json --benchmark_out_format=json
    tools/plot_roofline.py gemv.json gemm.json docs/roofline.svg

One panel for each instruction set and number of threads in the files.
"""
import json
import re
import statistics
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import NullLocator

DIGITS = {1: "#e67e22", 2: "#c0392b", 3: "#8e44ad"}
GGML, LIMIT = "#7f8c8d", "#2c3e50"
NAME = re.compile(r"(gemv|gemm)/(\w+)/digits:(\d)/bits:(\d)/group:128/out:4096/in:4096/(?:tokens:(\d+)/)?threads:(\d+)/")


def read(paths):
    """{(isa, threads): [run, …]} where a run has tokens, digits and bits beside its counters."""
    result = {}
    for path in paths:
        with open(path) as file:
            for run in json.load(file)["benchmarks"]:
                found = NAME.match(run["name"])
                if not found or "us" not in run:
                    continue
                _, isa, digits, bits, tokens, threads = found.groups()
                run |= {"tokens": int(tokens or 1), "digits": int(digits), "bits": int(bits)}
                result.setdefault((isa, int(threads)), []).append(run)
    if not result:
        sys.exit(" ".join(paths) + ": no run of a layer of 4096 x 4096 in groups of 128")
    return result


def point(run, who=""):
    """Flops for each byte of weights, and GFLOP/s."""
    rate = 2e-3 * run["tokens"] * 4096 * 4096 / run[who + "us"]
    return rate / run[who + "GB/s"], rate


def curve(runs, who=""):
    """A point for each number of tokens: the median, where several runs measured the same."""
    tokens = sorted({run["tokens"] for run in runs})
    points = [[point(run, who) for run in runs if run["tokens"] == t] for t in tokens]
    return [tuple(map(statistics.median, zip(*some))) for some in points]


def draw_limits(axis, runs):
    """The wall of memory, and what arithmetic on floats would reach: ours is on small integers, and may pass it."""
    def typical(counter):
        return statistics.median(run[counter] for run in runs if counter in run)

    left, top = axis.get_xlim()[0], axis.get_ylim()[1]
    bandwidth = typical("read_GB/s")
    axis.axline((1, bandwidth), (2, 2 * bandwidth), color=LIMIT, linewidth=1.5, zorder=1)
    axis.text(top / bandwidth, top / 1.35, f"memory, {bandwidth:.0f} GB/s", color=LIMIT, fontsize=8, clip_on=True)
    for counter, label in {"fma_GFLOP/s": "f32 multiply-adds", "sgemm_peak": "sgemm"}.items():
        if any(counter in run for run in runs):
            rate = typical(counter)
            axis.axhline(rate, color=LIMIT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            axis.text(1.07 * left, 1.05 * rate, f"{label}, {rate:.0f}", color=LIMIT, fontsize=8, clip_on=True)


def draw(axis, runs):
    four = [run for run in runs if run["bits"] == 4]
    if any("ggml_us" in run for run in four):
        axis.plot(*zip(*curve(four, "ggml_")), marker="s", markersize=4, color=GGML, label="ggml, 4 bits")
    for digits, color in DIGITS.items():
        same = [run for run in four if run["digits"] == digits]
        if same:
            axis.plot(*zip(*curve(same)), marker="o", markersize=4, color=color, label=f"gptq, 4 bits, digits<{digits}>")
    for bits, marker in {2: "v", 3: "^", 8: "D"}.items():
        same = [run for run in runs if run["bits"] == bits and run["digits"] == 2 and run["tokens"] == 1]
        if same:
            axis.plot(*zip(*curve(same)), marker, markersize=6, color=DIGITS[2], markerfacecolor="none",
                      label=f"gptq, {bits} bits, digits<2>")
            if "ggml_us" in same[0]:
                axis.plot(*zip(*curve(same, "ggml_")), marker, markersize=6, color=GGML, markerfacecolor="none",
                          label=f"ggml, {bits} bits")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    runs = read(sys.argv[1:3])
    panels = sorted(runs, key=lambda panel: (list(dict.fromkeys(isa for isa, _ in runs)).index(panel[0]), panel[1]))
    rows = (len(panels) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(11, 4 * rows + 0.8), sharex=True, sharey=True, squeeze=False)
    axes[0][0].set(xscale="log", yscale="log", xlim=(0.6, 3000), ylim=(40, 2000))
    axes[0][0].set_xticks([1, 3, 10, 30, 100, 300, 1000], minor=False)
    axes[0][0].set_yticks([50, 100, 200, 500, 1000, 2000], minor=False)
    for axis in (axes[0][0].xaxis, axes[0][0].yaxis):
        axis.set_major_formatter("{x:.0f}")
        axis.set_minor_locator(NullLocator())
    for axis, (isa, threads) in zip(axes.flat, panels):
        draw(axis, runs[isa, threads])
        draw_limits(axis, runs[isa, threads])
        axis.set_title(f"{isa}, {threads} thread" + "s" * (threads > 1))
        axis.grid(True, which="major", color="#eeeeee")
    for row in axes:
        row[0].set_ylabel("GFLOP/s")
    for axis in axes[-1]:
        axis.set_xlabel("flops for each byte of weights (4096 x 4096, 1 to 512 tokens)")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="lower center", ncol=4, frameon=False)
    figure.tight_layout(rect=(0, 0.75 / (4 * rows + 0.8), 1, 1))
    figure.savefig(sys.argv[3], metadata={"Date": None} if sys.argv[3].endswith(".svg") else None)


if __name__ == "__main__":
    main()
