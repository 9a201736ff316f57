#!/usr/bin/env python3
"""Writes gptq_runtime.hpp: all of gptq/runtime.hpp as one file, which needs a C++20 compiler and nothing else.

    amalgamate.py [OUTPUT]      gptq_runtime.hpp in the current folder if nothing is given

Our own headers come once, each after those that it includes: every one of them compiles alone, so that it may stand
before an #if that its include stood in. What all need of the standard library is listed first; what only some
processors have stays inside its #if.
"""
import re
import sys
from pathlib import Path

INCLUDE = Path(__file__).resolve().parent.parent / "include"
ROOT = "gptq/runtime.hpp"
LINE = re.compile(r"\s*#\s*include\s*(<([^>]+)>|\S+)")
BRANCH = re.compile(r"\s*#\s*(if|endif)")  # #ifdef and #ifndef too
BANNER = """\
// gptq {version}: quantized weights, and kernels that run them on a CPU. The standard library is all it needs.
// Made of include/{root} and what that includes, by tools/amalgamate.py: change those, not this.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once
"""


class Header:
    """One of our files, its includes told apart from its text."""

    def __init__(self, name):
        self.name = name
        self.ours = []  # names of our own headers, wherever they stand
        self.system = set()  # of the others, those outside of every #if
        self.lines = []
        depth = 0
        for number, line in enumerate((INCLUDE / name).read_text(encoding="utf-8").splitlines(), 1):
            branch, include = BRANCH.match(line), LINE.match(line)
            if branch:
                depth += 1 if branch[1] == "if" else -1
            if not include:
                if line.strip() != "#pragma once" and not line.startswith("// IWYU pragma"):
                    self.lines.append(line)
            elif include[2] and (INCLUDE / include[2]).is_file():
                self.ours.append(include[2])
            elif not include[2] or include[2].startswith("gptq/"):
                sys.exit(f"{INCLUDE / name}:{number}: there is no {include[1]} in {INCLUDE}")
            elif depth > 0:
                self.lines.append(line)
            else:
                self.system.add(include[2])


def in_order(name, seen):
    """The header and all below it, each once and after what it includes."""
    if name in seen:
        return []
    seen.add(name)
    header = Header(name)
    return [each for ours in header.ours for each in in_order(ours, seen)] + [header]


def version():
    text = (INCLUDE / "gptq/core/version.hpp").read_text(encoding="utf-8")
    return ".".join(re.findall(r"^#define GPTQ_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text, re.M))


def amalgamated(root):
    headers = in_order(root, set())
    system = sorted(set().union(*(header.system for header in headers)))
    parts = [BANNER.format(version=version(), root=root), "".join(f"#include <{name}>\n" for name in system)]
    for header in headers:
        lines = [line for line in header.lines if not (LINE.match(line) and LINE.match(line)[2] in system)]
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
        parts.append(f"// ──────── {header.name} ────────\n{text}\n")
    return "\n".join(parts)


def main():
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "gptq_runtime.hpp")
    output.write_text(amalgamated(ROOT), encoding="utf-8")


if __name__ == "__main__":
    main()
