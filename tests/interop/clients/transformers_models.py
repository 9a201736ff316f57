"""Models as transformers loads them: float ones, in shards, GPTQ, and compressed-tensors; and as it writes shards."""

import json
import pathlib

import torch
from transformers import AutoModelForCausalLM, GPTQConfig

ROOT = pathlib.Path(__file__).resolve().parents[3]
OURS = [
    ("float, in shards", None, None),
    ("GPTQ, asymmetric", ["--bits=4", "--group-size=64", "--asym", "--nearest"], "gptq"),
    ("GPTQ, 2 bits, symmetric", ["--bits=2", "--group-size=32", "--nearest"], "gptq"),
    ("4 bits, groups of 64", ["--bits=4", "--group-size=64", "--nearest"], "compressed-tensors"),
    ("4 bits, whole rows", ["--bits=4", "--group-size=-1", "--nearest"], "compressed-tensors"),
    ("8 bits, groups of 128", ["--bits=8", "--group-size=128", "--nearest"], "compressed-tensors"),
]  # fmt: skip


def load(folder):
    config = json.loads((folder / "config.json").read_text()).get("quantization_config", {})
    if config.get("quant_method") != "gptq":
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # The plain kernel is for half precision, and then runs in float32 all the same; others compile themselves first.
    settings = GPTQConfig(bits=config["bits"], backend="gptq_torch")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16, quantization_config=settings)
    return torch.nn.Module.float(model)


def written(root):
    folder = root / "shards"
    load(ROOT / "models" / "bard").save_pretrained(folder, max_shard_size="2MB")
    yield "theirs: float, in shards", folder
