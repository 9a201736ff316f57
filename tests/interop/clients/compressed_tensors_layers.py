"""Layers of compressed-tensors checkpoints (pack-quantized) as that package packs and unpacks them."""

import itertools

import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig

from clients.random_layer import random_layer


def has_g_idx():
    """Whether groups may be scattered over the columns, which the package gave up in August 2026."""
    try:
        QuantizationArgs(num_bits=4, strategy="group", group_size=32, actorder="group")
    except ValueError:
        return False
    return True


def scheme_of(config):
    return QuantizationConfig(**config).config_groups["group_0"]


def reads(config):
    if config["quant_method"] != "compressed-tensors":
        return False
    return has_g_idx() or config["config_groups"]["group_0"]["weights"]["actorder"] != "group"


def weights(config, tensors):
    tensors = tensors | {"weight_scale": tensors["weight_scale"].float()}
    return PackedQuantizationCompressor.decompress(tensors, scheme_of(config))["weight"]


def config_of(bits, sym, size, act):
    settings = {
        "num_bits": bits, "type": "int", "symmetric": sym, "strategy": "channel" if size == -1 else "group",
        "group_size": None if size == -1 else size, "actorder": "group" if act else None,
    }  # fmt: skip
    group = {"targets": ["Linear"], "weights": settings, "format": "pack-quantized"}
    config = {"config_groups": {"group_0": group}, "format": "pack-quantized", "quantization_status": "compressed"}
    return QuantizationConfig(**config).to_dict()


def written():
    random = torch.Generator().manual_seed(1)
    for dtype, bits, sym, size, act in itertools.product(
        (torch.float16, torch.bfloat16), range(2, 9), (True, False), (-1, 32, 64, 128), {False, has_g_idx()}
    ):
        if act and size == -1:
            continue
        layer = random_layer(random, bits, sym, size, act, dtype)
        middle = 1 << (bits - 1)
        tensors = {
            "weight": layer.linear.weight.data,
            "weight_scale": layer.scales,
            "weight_zero_point": (layer.zeros - middle).to(torch.int8),
        }
        if act:
            tensors["weight_g_idx"] = layer.g_idx
        config = config_of(bits, sym, size, act)
        packed = PackedQuantizationCompressor.compress(tensors, scheme_of(config))
        packed["weight_scale"] = packed["weight_scale"].to(dtype)
        packed["bias"] = layer.linear.bias.data.to(dtype)
        # Until May 2026 codes of 3, 5, 6 and 7 bits did not fill their words.
        dense = packed["weight_packed"].shape[1] == layer.linear.in_features * bits // 32
        name = f"{bits}-{'sym' if sym else 'asym'}-g{size}{'-act' if act else ''}-{dtype}"
        yield name, config, packed, layer.linear.weight.data if dense else None
