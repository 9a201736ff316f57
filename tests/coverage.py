#!/usr/bin/env python3
"""Says how many of the library's lines the tests run, and fails below the floor.

    tests/coverage.py BUILD [--llvm -16]

BUILD was configured with clang and GPTQ_COVERAGE=ON, and its tests have run with
LLVM_PROFILE_FILE=BUILD/profiles/%m.profraw. A line of a template counts as run if one of its instances ran it; a line
that no test program compiles, such as another processor's, is not counted.
"""
import argparse
import json
import pathlib
import subprocess
import sys

FLOOR = 95  # percent of all lines of include/gptq

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("build", type=pathlib.Path)
arguments.add_argument("--llvm", default="", help="what follows llvm-cov's name, such as -16")
options = arguments.parse_args()

library = pathlib.Path(__file__).resolve().parent.parent / "include" / "gptq"
profiles = sorted(options.build.glob("profiles/*.profraw"))
programs = sorted(p for p in options.build.glob("tests/test-*") if p.is_file())
if not profiles or not programs:
    sys.exit(f"{options.build}: no profiles or no test programs; see --help")

merged = options.build / "profiles" / "all.profdata"
subprocess.run([f"llvm-profdata{options.llvm}", "merge", "-o", merged, *profiles], check=True)
objects = [word for p in programs for word in ("-object", p)]
exported = subprocess.run(
    [f"llvm-cov{options.llvm}", "export", "-summary-only", f"-instr-profile={merged}", *objects[1:], library],
    check=True, capture_output=True).stdout

total = covered = 0
for file in sorted(json.loads(exported)["data"][0]["files"], key=lambda f: f["summary"]["lines"]["percent"]):
    lines = file["summary"]["lines"]
    total, covered = total + lines["count"], covered + lines["covered"]
    if lines["percent"] < FLOOR:
        name = pathlib.Path(file["filename"]).relative_to(library)
        print(f"{lines['percent']:6.1f} %  {lines['covered']:4d} of {lines['count']:4d}  {name}")
percent = 100 * covered / max(total, 1)
print(f"{percent:6.2f} %  {covered} of {total} lines of include/gptq; the floor is {FLOOR} %")
sys.exit(percent < FLOOR)
