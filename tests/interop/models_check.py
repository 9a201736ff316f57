#!/usr/bin/env python3
"""Whole models: what a client makes of folders that this project wrote, and our engine of folders that a client wrote.

    tests/interop/models_check.py CLIENT GPTQ_LLAMA ENGINE SAFETENSORS_CHECK

GPTQ_LLAMA is the command, ENGINE the program of llama_cpp_check.cpp. CLIENT is a module of clients/, which has
    OURS                what it loads: names, options of `quantize` (none: the float model), and a format to convert to
    load(folder)        a model, as transformers has them, in float32; rounds_weights: but for its weights
    written(folder)     folders of the embedded model that it quantized itself, made one by one

Logits must be equal but for the roundings of float32 and for the 16 bits to which our engine rounds activations: 2^-16
of the largest at the inputs of each of 35 matrices, which as independent errors are sqrt(35)·2^-16 of the largest
logit, or 2^-13.4; the bound is 2^-12. A client that rounds the weights to half precision, 2^-12 of each, errs as much
again for every matrix that they are summed up in, 2^-12·sqrt(35) or 2^-9.4 at worst, and the bound is that. What
weights are, to the bit, is the matter of layers_check.py.
"""

import importlib
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch

from results import report

BARD = pathlib.Path(__file__).resolve().parents[2] / "models" / "bard"
PROMPTS = [b"\0", b"KING RICHARD:\nWhat", b"And therefore, since I cannot prove a lover", b"Now is the winter of"]
STEPS = 16
CLOSE, CLOSE_OF_ROUNDED_WEIGHTS = 2.0**-12, 2.0**-9.4


def our_logits(engine, folder):
    """Each prompt continued by our engine: the ids that it made, and the logits [prompt, step, token]."""
    with tempfile.NamedTemporaryFile() as file:
        prompts = "".join(" ".join(map(str, prompt)) + "\n" for prompt in PROMPTS)
        command = [engine, "greedy", folder, str(STEPS), file.name]
        made = subprocess.run(command, input=prompts, capture_output=True, text=True, check=True).stdout
        logits = np.fromfile(file.name, dtype=np.float32).reshape(len(PROMPTS), STEPS, -1)
    return [list(map(int, line.split())) for line in made.splitlines()], logits


def largest_difference(model, made, logits):
    """Of the client's logits from ours, relative to the largest."""
    differences = []
    for prompt, ids, ours in zip(PROMPTS, made, logits):
        theirs = model(torch.tensor([[*prompt, *ids[:-1]]])).logits[0, len(prompt) - 1 :].numpy()
        differences.append(np.abs(theirs - ours).max() / np.abs(ours).max())
    return max(differences)


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def folders_of_ours(client, command, safetensors_check, root):
    for i, (name, options, form) in enumerate(client.OURS):
        folder = root / f"ours-{i}"
        if options is None:
            run(safetensors_check, BARD, folder)
            for file in BARD.glob("*.json"):
                (folder / file.name).write_bytes(file.read_bytes())
        elif form is None:
            run(command, "quantize", BARD, folder, *options)
        else:
            run(command, "quantize", BARD, root / f"source-{i}", *options)
            run(command, "convert", root / f"source-{i}", folder, "--to", form)
        yield f"ours: {name}", folder


def comparisons(client, command, engine, safetensors_check, root):
    for folders in folders_of_ours(client, command, safetensors_check, root), client.written(root):
        for name, folder in folders:
            model = client.load(folder)
            close = CLOSE_OF_ROUNDED_WEIGHTS if getattr(model, "rounds_weights", False) else CLOSE
            difference = largest_difference(model, *our_logits(engine, folder))
            yield f"{name}: logits differ by {difference:.2g} of the largest", difference <= close


def main():
    torch.set_grad_enabled(False)
    client, *programs = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        return report(comparisons(importlib.import_module("clients." + client), *programs, pathlib.Path(name)))


if __name__ == "__main__":
    sys.exit(main())
