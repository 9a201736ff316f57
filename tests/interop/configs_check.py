#!/usr/bin/env python3
"""Configurations that this library wrote, read by transformers; and what transformers and GPTQModel write, read by us.

    tests/interop/configs_check.py CHECKPOINT_CHECK

Whether we read one rightly shows in the weights: our own tensors are read with their configuration beside them.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from gptqmodel import QuantizeConfig
from safetensors.torch import load_file, save_file
from transformers import AwqConfig, CompressedTensorsConfig, GPTQConfig
from transformers.quantizers.auto import AutoQuantizationConfig

from results import report

UNKNOWN = {"a key of tomorrow": [1, {"x": None}], "model_seqlen": 2048, "dataset": None}


def config_of(folder):
    return json.loads((folder / "config.json").read_text())["quantization_config"]


def write_config(folder, config):
    for name in "quantize_config.json", "quant_config.json":
        (folder / name).unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps({"quantization_config": config}))


def says_the_same(ours, theirs):
    """Whether transformers understood a configuration of ours."""
    method, fields = ours["quant_method"], ["bits", "group_size"]
    if method == "gptq":
        kind, fields = GPTQConfig, [*fields, "desc_act", "sym", "format"]
    elif method == "awq":
        kind, fields = AwqConfig, [*fields, "zero_point"]
    else:
        kind, fields = CompressedTensorsConfig, ["num_bits", "symmetric", "strategy", "group_size"]
        ours = ours["config_groups"]["group_0"]["weights"]
    if type(theirs) is not kind:
        return False
    if method == "compressed-tensors":
        theirs = theirs.quantization_config.config_groups["group_0"].weights
    return all(getattr(theirs, field) == ours[field] for field in fields)


def of_transformers(root):
    """What transformers makes of each configuration of ours takes its place, with more keys."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        ours = config_of(folder)
        if "-act" in folder.name and ours["quant_method"] == "compressed-tensors":
            continue  # which the package has given up
        theirs = AutoQuantizationConfig.from_dict(dict(ours))
        yield f"transformers: {folder.name}", says_the_same(ours, theirs)
        write_config(folder, theirs.to_dict() | UNKNOWN)


def mix(root, mixed):
    """A checkpoint of GPTQModel's with layers of two widths, and where each of them comes from."""
    wide, narrow = root / "gptq-8-sym-g32", root / "gptq-4-sym-g128"
    mixed.mkdir()
    tensors = {name: t for name, t in load_file(narrow / "model.safetensors").items() if ".plain." in name}
    tensors |= {name: t for name, t in load_file(wide / "model.safetensors").items() if ".biased." in name}
    save_file(tensors, mixed / "model.safetensors")
    dynamic = {r"+:.*\.biased$": {"bits": 8, "group_size": 32}, r"-:.*\.absent$": {}}
    write_config(mixed, QuantizeConfig(bits=4, group_size=128, dynamic=dynamic).to_dict())
    return {"model.plain": narrow, "model.biased": wide}


def weights_of(folder):
    path = folder.with_name(folder.name + ".weights.safetensors")
    return load_file(path) if path.exists() else {}


def comparisons(program, root):
    subprocess.run([program, "write", root], check=True)
    expected = {folder: weights_of(folder) for folder in root.iterdir() if folder.is_dir()}
    yield from of_transformers(root)
    mixed = root / "mixed"
    sources = mix(root, mixed)
    expected[mixed] = {
        name: tensor
        for module, source in sources.items()
        for name, tensor in expected[source].items()
        if name.startswith(module)
    }
    for path in root.glob("*.weights.safetensors"):
        path.unlink()
    subprocess.run([program, "read", root], check=True)
    for folder, weights in expected.items():
        again = weights_of(folder)
        same = weights.keys() == again.keys() and all(torch.equal(weights[name], again[name]) for name in weights)
        yield f"read with their configuration: {folder.name}", weights and same


def main():
    with tempfile.TemporaryDirectory() as name:
        return report(comparisons(sys.argv[1], pathlib.Path(name)))


if __name__ == "__main__":
    sys.exit(main())
