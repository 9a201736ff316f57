#!/usr/bin/env python3
"""Compiles files of mistakes and reads what the compiler says of each.

    check.py FILE -- COMPILER OPTIONS…

With MISTAKES 0 the file must compile. With MISTAKES 1 there must be an error at each line that ends in

    // refused: word, word

and at no other; the error and its notes must contain all these words, and must not lead through our headers: at most
MOST_LINES of them point there, and none tells of an instantiation.
"""
import os
import re
import subprocess
import sys

MOST_LINES = 16  # of two overloads


def diagnose(command, file, mistakes):
    return subprocess.run([*command, "-fsyntax-only", "-fdiagnostics-color=never", f"-DMISTAKES={mistakes}", file],
                          capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})


def errors(output, file):
    """What is said from each error to the next, by the line of the file."""
    found = {}
    where = re.compile(re.escape(file) + r":(\d+):(?:\d+:)? error: ")
    for part in re.split(r"^(?=\S.*? (?:fatal )?error: )", output, flags=re.MULTILINE)[1:]:
        at = where.match(part)
        found.setdefault(int(at[1]) if at else 0, []).append(part)
    return {line: "".join(parts) for line, parts in found.items()}


def complaints(text, words):
    lines = [line for line in text.splitlines() if "// refused:" not in line]  # which quote the file
    inside = sum(re.match(r"\S*include/gptq/", line) is not None for line in lines)
    yield from (f"does not say '{word}'" for word in words if word not in "\n".join(lines))
    if inside > MOST_LINES:
        yield f"{inside} lines point into our headers, expected at most {MOST_LINES}"
    if re.search(r"[Ii]n instantiation of", text):
        yield "tells of an instantiation"


def main():
    file, separator, *command = sys.argv[1:]
    assert separator == "--"
    right = diagnose(command, file, 0)
    if right.returncode != 0:
        sys.exit(f"{right.stderr}\n{file}: does not compile with its mistakes corrected")
    wrong = diagnose(command, file, 1)
    found = errors(wrong.stderr, file)
    with open(file, encoding="utf-8") as source:
        refused = [(n, re.search("// refused: (.*)", line)) for n, line in enumerate(source, 1)]
    expected = {n: words[1].split(", ") for n, words in refused if words}
    failed = 0
    for line in sorted(expected.keys() | found.keys()):
        text = found.get(line, "")
        if line not in expected:
            wrongs = ["an error that no comment expects"]
        else:
            wrongs = list(complaints(text, expected[line])) if text else ["compiles"]
        for what in wrongs:
            print(f"{file}:{line}: {what}\n{text}")
        failed += len(wrongs) > 0
    print(f"{file}: {len(expected)} mistakes, {failed} not refused as they should be")
    return failed > 0 or not expected


if __name__ == "__main__":
    sys.exit(main())
