"""torch for CUDA on a machine without: libraries that its own are linked with, and never call there.

The package index has no other torch for Linux on x86-64, and the real libraries are several times its size. A stand-in
has the name of one and its symbols, with their versions, and nothing behind them.
"""

import collections
import pathlib
import re
import subprocess

# What a driver would bring is only looked for when a GPU is.
NEEDED = re.compile(r"NEEDED.*\[(lib(?:cu|nv|nccl)(?!da\.so)[^]]*)\]")
UNDEFINED = re.compile(r" [Uw] (\w+)(?:@+(\S+))?$", re.MULTILINE)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols_by_library(missing, libraries):
    """For each missing library its symbols by version, "" for those without: these tell by their name whose they are."""
    symbols = {name: collections.defaultdict(set) for name in missing}
    for symbol, version in UNDEFINED.findall(output("nm", "-D", "--undefined-only", *libraries)):
        for name in missing:
            stem = name.split(".")[0].removeprefix("lib").lower()
            mine = symbol.lower().startswith(stem.removesuffix("_host"))
            if version == name or mine and version in ("", stem.removesuffix("_host").upper()):
                symbols[name][version].add(symbol)
    return symbols


def make_library(path, symbols, compiler):
    source = "".join(f"int {symbol}(void) {{ return 1; }}\n" for group in symbols.values() for symbol in group)
    versions = "".join(f"{version} {{ {'; '.join(group)}; }};\n" for version, group in symbols.items() if version)
    script = path.with_name(path.name + ".versions")
    script.write_text(versions)
    command = [compiler, "-shared", "-fPIC", "-w", "-x", "c", "-", f"-Wl,-soname,{path.name}", "-o", path]
    if versions:
        command.append(f"-Wl,--version-script={script}")
    subprocess.run(command, input=source, check=True, text=True)


def make(site_packages, folder, compiler="cc"):
    """Puts stand-ins into the folder, for LD_LIBRARY_PATH, of all that torch needs and site_packages lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    libraries = [*pathlib.Path(site_packages, "torch", "lib").glob("*.so*")]
    there = [*libraries, *pathlib.Path(site_packages, "nvidia").rglob("*.so*")]
    missing = set(NEEDED.findall(output("readelf", "-d", *libraries))) - {path.name for path in there}
    for name, symbols in symbols_by_library(missing, libraries).items():
        make_library(folder / name, symbols, compiler)
