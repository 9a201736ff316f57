#!/usr/bin/env python3
"""Layers of random codes in a client's formats: ours unpacked by the client, and the client's unpacked by us.

    tests/interop/layers_check.py CHECKPOINT_CHECK CLIENT

CLIENT is a module of clients/, which has
    reads(config)             whether it unpacks the layers of a checkpoint
    weights(config, tensors)  what it makes of a layer's tensors: float32 [out, in]
    written()                 checkpoints of one layer that it made: name, config, tensors, and weights, or None where
                              this library must refuse the checkpoint
"""

import importlib
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

from results import report


def by_module(tensors):
    modules = {}
    for name, tensor in tensors.items():
        module, _, part = name.rpartition(".")
        modules.setdefault(module, {})[part] = tensor
    return modules


def theirs_of_ours(client, root):
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        config = json.loads((folder / "config.json").read_text())["quantization_config"]
        if not client.reads(config):
            continue
        expected = load_file(root / f"{folder.name}.weights.safetensors")
        for module, tensors in by_module(load_file(folder / "model.safetensors")).items():
            weights = client.weights(config, tensors)
            yield f"ours: {folder.name}: {module}", torch.equal(weights, expected[module + ".weight"])


def ours_of_theirs(client, program, root):
    packed = {}
    for name, config, tensors, weights in client.written():
        folder = root / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"quantization_config": config}))
        save_file(
            {f"layer.{part}": tensor.contiguous() for part, tensor in tensors.items()}, folder / "model.safetensors"
        )
        packed[name] = weights, tensors["bias"]
    subprocess.run([program, "read", root], check=True, stderr=subprocess.DEVNULL)
    for name, (weights, bias) in packed.items():
        path = root / f"{name}.weights.safetensors"
        if weights is None or not path.exists():
            yield f"theirs: {name}: refused", weights is None and not path.exists()
        else:
            read = load_file(path)
            same = torch.equal(read["layer.weight"], weights) and torch.equal(read["layer.bias"], bias.float())
            yield f"theirs: {name}", same


def comparisons(program, client, folder):
    ours, theirs = folder / "ours", folder / "theirs"
    ours.mkdir()
    theirs.mkdir()
    subprocess.run([program, "write", ours], check=True)
    yield from theirs_of_ours(client, ours)
    yield from ours_of_theirs(client, program, theirs)


def main():
    torch.set_grad_enabled(False)
    client = importlib.import_module("clients." + sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        return report(comparisons(sys.argv[1], client, pathlib.Path(name)))


if __name__ == "__main__":
    sys.exit(main())
