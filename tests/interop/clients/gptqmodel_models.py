"""Models of GPTQ and AWQ as GPTQModel loads them, and of GPTQ as it quantizes them."""

import pathlib

import torch
from gptqmodel import BACKEND, GPTQModel, QuantizeConfig

ROOT = pathlib.Path(__file__).resolve().parents[3]
FEW = ["--samples=4", "--context=64"]
ACT_ORDER = ["--bits=3", "--group-size=64", "--asym", "--order=act", *FEW]
OURS = [
    ("GPTQ, 4 bits", ["--bits=4", "--group-size=128", *FEW], None),
    ("GPTQ, 3 bits, asymmetric, act-order", ACT_ORDER, "gptq_v2"),
    ("GPTQ, 8 bits, whole rows", ["--bits=8", "--group-size=-1", "--nearest"], None),
    ("GPTQ, 2 bits, asymmetric", ["--bits=2", "--group-size=32", "--asym", "--nearest"], "gptq_v2"),
    ("AWQ, asymmetric", ["--bits=4", "--group-size=64", "--asym", "--nearest"], "awq"),
]
WRITTEN = [(4, True, "gptq", False), (4, False, "gptq", True), (2, False, "gptq", False), (3, False, "gptq_v2", True)]


def load(folder):
    """With the plain kernels, which are for half precision, and then run in float32 all the same. Weights of AWQ are
    still rounded to half precision."""
    awq = '"awq"' in (folder / "config.json").read_text()
    backend = BACKEND.AWQ_TORCH if awq else BACKEND.GPTQ_TORCH
    model = torch.nn.Module.float(GPTQModel.load(str(folder), device="cpu", backend=backend, dtype=torch.float16).model)
    model.rounds_weights = awq
    return model


def written(root):
    text = (ROOT / "LICENSE").read_bytes()
    samples = [{"input_ids": list(text[i : i + 64]), "attention_mask": [1] * 64} for i in range(0, 1024, 64)]
    for bits, sym, form, act in WRITTEN:
        config = QuantizeConfig(bits=bits, group_size=64, sym=sym, format=form, desc_act=act, act_group_aware=False)
        with torch.set_grad_enabled(True):
            model = GPTQModel.load(str(ROOT / "models" / "bard"), config)
            model.quantize(samples, batch_size=4)
        name = f"{form}, {bits} bits, {'symmetric' if sym else 'asymmetric'}{', act-order' if act else ''}"
        folder = root / name.replace(", ", "-").replace(" ", "-")
        model.save(str(folder))
        yield f"theirs: {name}", folder
