"""Layers of GPTQ and AWQ checkpoints as GPTQModel packs and unpacks them."""

import itertools

import torch
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.nn_modules.qlinear.torch_awq import AwqTorchLinear
from gptqmodel.quantization import QuantizeConfig
from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module, convert_gptq_v2_to_v1_format_module

from clients.random_layer import random_layer


def reads(config):
    return config["quant_method"] in ("gptq", "awq")


def empty(kind, config, outputs, inputs, bias):
    layer = kind(
        bits=config["bits"], group_size=config["group_size"], sym=config.get("sym", False),
        desc_act=config.get("desc_act", False), in_features=inputs, out_features=outputs, bias=bias,
        pack_dtype=torch.int32, register_buffers=True,
    )  # fmt: skip
    return layer.eval()


def weights(config, tensors):
    """The weights [out, in] that the tensors of a layer stand for, not rounded to half precision as when it runs."""
    outputs = tensors["scales"].shape[1]
    if config["quant_method"] == "awq":
        size = tensors["qweight"].shape[0] if config["group_size"] == -1 else config["group_size"]
        scales = tensors["scales"].float()
        return dequantize_gemm(tensors["qweight"], tensors["qzeros"], scales, config["bits"], size).T
    layer = empty(TorchLinear, config, outputs, tensors["g_idx"].numel(), "bias" in tensors)
    layer.load_state_dict(tensors)
    layer.scales = layer.scales.float()
    if config["checkpoint_format"] == "gptq":
        convert_gptq_v1_to_v2_format_module(layer, config["bits"], torch.int32)
    layer.post_init()
    return layer.dequantize_weight().T


def written():
    """Checkpoints of one layer: name, configuration, tensors, and the weights that were packed."""
    random = torch.Generator().manual_seed(1)
    for form, bits, sym, size, act in itertools.product(
        ("gptq", "gptq_v2"), (2, 3, 4, 8), (True, False), (-1, 32, 64, 128), (False, True)
    ):
        layer = random_layer(random, bits, sym, size, act and size != -1)
        config = QuantizeConfig(bits=bits, group_size=size, sym=sym, desc_act=act, format=form, act_group_aware=False)
        packed = empty(TorchLinear, config.to_dict(), *layer.linear.weight.shape, True)
        packed.pack(layer.linear, layer.scales, layer.zeros, layer.g_idx)
        if form == "gptq":
            convert_gptq_v2_to_v1_format_module(packed, config)
        settings = config.to_dict()
        settings["meta"]["quantizer"] = ["gptqmodel:7.7.0"]  # which only its own save adds
        name = f"{form}-{bits}-{'sym' if sym else 'asym'}-g{size}{'-act' if act else ''}"
        yield name, settings, packed.state_dict(), layer.linear.weight.data
    for sym, size in itertools.product((True, False), (-1, 32, 64, 128)):
        layer = random_layer(random, 4, sym, size)
        config = QuantizeConfig(bits=4, group_size=size, sym=sym, quant_method="awq", format="gemm").to_dict()
        packed = empty(AwqTorchLinear, config, *layer.linear.weight.shape, True)
        packed.pack(layer.linear, layer.scales, layer.zeros)
        yield f"awq-{'sym' if sym else 'asym'}-g{size}", config, packed.state_dict(), layer.linear.weight.data
