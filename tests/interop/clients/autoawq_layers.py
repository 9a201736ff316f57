"""Layers of AWQ checkpoints as AutoAWQ packs and unpacks them."""

import itertools

import torch

from clients.packages import without_init
from clients.random_layer import random_layer

without_init("awq")
without_init("awq.modules")
without_init("awq.modules.linear")

from awq.modules.linear.gemm import WQLinear_GEMM  # noqa: E402
from awq.utils.packing_utils import dequantize_gemm  # noqa: E402


def reads(config):
    return config["quant_method"] == "awq"


def weights(config, tensors):
    size = tensors["qweight"].shape[0] if config["group_size"] == -1 else config["group_size"]
    return dequantize_gemm(tensors["qweight"], tensors["qzeros"], tensors["scales"].float(), config["bits"], size).T


def written():
    random = torch.Generator().manual_seed(1)
    for sym, size in itertools.product((True, False), (-1, 32, 64, 128)):
        layer = random_layer(random, 4, sym, size)
        inputs = layer.linear.in_features
        group = inputs if size == -1 else size
        packed = WQLinear_GEMM.from_linear(
            layer.linear, 4, group, scales=layer.scales.T.contiguous(), zeros=layer.zeros.T.contiguous()
        )
        config = {"quant_method": "awq", "bits": 4, "group_size": size, "zero_point": not sym, "version": "gemm"}
        yield f"awq-{'sym' if sym else 'asym'}-g{size}", config, packed.state_dict(), layer.linear.weight.data
