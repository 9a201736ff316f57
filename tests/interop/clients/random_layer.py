"""A layer to quantize whose weights lie on a grid, so that every packer finds the same codes again."""

import dataclasses

import torch


@dataclasses.dataclass
class Layer:
    linear: torch.nn.Linear  # weights [out, in] = scale·(code - zero), exact in float32
    scales: torch.Tensor  # [out, groups], of both signs
    zeros: torch.Tensor  # [out, groups], whole numbers as floats
    codes: torch.Tensor  # [out, in]
    g_idx: torch.Tensor  # [in]


def random_layer(random, bits, sym, group_size, act_order=False, dtype=torch.float16, least_zero=0, out=64, inputs=256):
    """`random` is a torch.Generator. A scale has 8 significant bits and code - zero at most 8: no product is rounded."""

    def whole(low, high, *shape):
        return torch.randint(low, high, shape, generator=random)

    size = inputs if group_size == -1 else group_size
    groups = inputs // size
    g_idx = torch.arange(inputs) // size
    if act_order:
        g_idx = g_idx[torch.randperm(inputs, generator=random)]
    scales = whole(128, 256, out, groups) * 2.0 ** whole(-14, -8, out, groups).float()
    scales *= 1 - 2 * whole(0, 2, out, groups)
    zeros = torch.full((out, groups), 1 << (bits - 1)) if sym else whole(least_zero, 1 << bits, out, groups)
    codes = whole(0, 1 << bits, out, inputs)
    linear = torch.nn.Linear(inputs, out, bias=True)
    linear.weight.data = scales[:, g_idx] * (codes - zeros[:, g_idx])
    linear.bias.data = linear.bias.data.to(dtype).float()
    return Layer(linear, scales, zeros.float(), codes, g_idx.to(torch.int32))
