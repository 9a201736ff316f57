"""Models that AutoRound rounds to nearest and writes in the three formats, loaded by transformers or GPTQModel.

Its symmetric grids have scales of both signs. There is no asymmetric model of compressed-tensors, since transformers
loads none: it takes packed zero points for damaged ones.
"""

import json
import pathlib

from auto_round import AutoRound

from clients import gptqmodel_models, transformers_models

ROOT = pathlib.Path(__file__).resolve().parents[3]
OURS = []


def load(folder):
    """AWQ by GPTQModel; GPTQ by transformers, since GPTQModel itself takes asymmetric ones from nobody else."""
    method = json.loads((folder / "config.json").read_text())["quantization_config"]["quant_method"]
    return (gptqmodel_models if method == "awq" else transformers_models).load(folder)


def written(root):
    kinds = ("auto_gptq", True), ("auto_gptq", False), ("auto_awq", True), ("auto_awq", False), ("llm_compressor", True)
    for form, sym in kinds:
        out = root / f"{form}-{sym}"
        model = AutoRound(
            str(ROOT / "models" / "bard"), scheme="W4A16", iters=0, group_size=64, sym=sym, device_map="cpu",
            disable_opt_rtn=True, seqlen=64,
        )  # fmt: skip
        model.quantize_and_save(str(out), format=form)
        (folder,) = out.iterdir()
        yield f"theirs: {form}, {'symmetric' if sym else 'asymmetric'}", folder
