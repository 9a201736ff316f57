#!/usr/bin/env python3
"""Counts the kernels' instructions per weight and compares them with the table in docs/kernels.md.

    count.py PROGRAM TABLE      PROGRAM is tests/instructions/product.cpp, TABLE the page that holds the table

Instructions, unlike times, are the same on every machine, so a kernel that loses its registers is seen in any run.
They are counted by valgrind's callgrind, within the one function `product`. On a difference of more than 3 % the whole
table is printed as it is now, and the exit status is 1.
"""
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

WEIGHTS = 64 * 4096
TOLERANCE = 0.03
ROWS = [("linear", bits, 1) for bits in (2, 3, 4, 8)] + [("linear", 4, 4), ("direct", 4, 1), ("direct", 3, 1)]
HEADER = "| instructions per weight and token | `digits<1>` | `digits<2>` | `digits<3>` |"


def name_of(layer, bits, tokens):
    kind = {"linear": "", "direct": ", straight from the checkpoint"}[layer]
    return f"{bits} bits, {tokens} token{'s' if tokens > 1 else ''}{kind}"


def count(program, layer, bits, digits, tokens):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=void product<*",
               program, layer, str(bits), str(digits), str(tokens)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    collected = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not collected or int(collected.group(1)) == 0:
        sys.exit(f"count.py: {' '.join(command)} counted nothing:\n{run.stderr}")
    return int(collected.group(1)) / (WEIGHTS * tokens)


def counted(program):
    cases = [(row, digits) for row in ROWS for digits in (1, 2, 3)]
    with ThreadPoolExecutor(2) as pool:
        figures = pool.map(lambda case: count(program, *case[0][:2], case[1], case[0][2]), cases)
        return dict(zip(cases, figures))


def documented(page):
    """The table's figures, by the same keys."""
    with open(page, encoding="utf-8") as file:
        lines = file.read().split(HEADER)[-1].splitlines()
    rows = {cells[1].strip(): cells[2:5] for cells in (line.split("|") for line in lines) if len(cells) == 6}
    return {(row, digits): float(rows[name_of(*row)][digits - 1]) for row in ROWS for digits in (1, 2, 3)
            if name_of(*row) in rows}


def main():
    program, page = sys.argv[1:]
    now, before = counted(program), documented(page)
    table = [HEADER, "|---|---|---|---|"]
    table += [f"| {name_of(*row)} | " + " | ".join(f"{now[row, d]:.3f}" for d in (1, 2, 3)) + " |" for row in ROWS]
    print("\n".join(table))
    wrong = [case for case in now if case not in before or abs(now[case] / before[case] - 1) > TOLERANCE]
    for row, digits in wrong:
        print(f"differs: {name_of(*row)}, digits<{digits}>: {now[row, digits]:.3f}, documented "
              f"{before.get((row, digits), 'nothing')}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
