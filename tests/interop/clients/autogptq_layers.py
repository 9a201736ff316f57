"""Layers of GPTQ checkpoints as AutoGPTQ packs and unpacks them."""

import itertools

import torch

from clients.packages import without_init
from clients.random_layer import random_layer

without_init("auto_gptq")
without_init("auto_gptq.nn_modules")

from auto_gptq.nn_modules.qlinear.qlinear_cuda import QuantLinear  # noqa: E402
from auto_gptq.nn_modules.qlinear.qlinear_cuda_old import QuantLinear as OldQuantLinear  # noqa: E402


def reads(config):
    return config["quant_method"] == "gptq" and config["checkpoint_format"] == "gptq"


def weights(config, tensors):
    """What the layer makes of the unit vectors: its weights [out, in]."""
    outputs, inputs = tensors["scales"].shape[1], tensors["g_idx"].numel()
    layer = QuantLinear(config["bits"], config["group_size"], inputs, outputs, bias=False, weight_dtype=torch.float32)
    layer.load_state_dict({name: tensor for name, tensor in tensors.items() if name != "bias"})
    return layer(torch.eye(inputs)).T


def written():
    random = torch.Generator().manual_seed(1)
    kinds = ((QuantLinear, "cuda"), (OldQuantLinear, "cuda-old"))
    for (kind, name), bits, sym, size, act in itertools.product(
        kinds, (2, 3, 4, 8), (True, False), (-1, 32, 64, 128), (False, True)
    ):
        if act and (size == -1 or kind is OldQuantLinear):
            continue
        layer = random_layer(random, bits, sym, size, act, least_zero=1)
        outputs, inputs = layer.linear.weight.shape
        packed = kind(bits, size, inputs, outputs, bias=True)
        packed.pack(layer.linear.to(torch.float32), layer.scales, layer.zeros.clone(), layer.g_idx)
        config = {"bits": bits, "group_size": size, "desc_act": act, "sym": sym, "quant_method": "gptq"}
        variant = f"{name}-{bits}-{'sym' if sym else 'asym'}-g{size}{'-act' if act else ''}"
        yield variant, config, packed.state_dict(), layer.linear.weight.data
