#!/usr/bin/env python3
"""Makes the golden cases of tests/data/golden: small random layers, solved by the GPTQ algorithm as its paper and its
reference implementation state it (Cholesky factor of the inverse Hessian, float64), written independently of the
library. Needs NumPy.   usage: make_golden.py OUT_FOLDER
"""
import json
import pathlib
import struct
import sys

import numpy as np

DTYPES = {"f4": "F32", "f8": "F64", "u1": "U8", "i4": "I32"}


def write_safetensors(path, tensors, metadata):
    """The container: u64 header size, JSON header, raw data. Larger elements first keeps each aligned."""
    header, data = {"__metadata__": metadata}, b""
    for name, t in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        raw = np.ascontiguousarray(t).tobytes()
        header[name] = {"dtype": DTYPES[t.dtype.str[1:]], "shape": list(t.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def fit(w, bits, sym, mse):
    """Scale and zero point of each row of w, as the reference's find_params."""
    maxq = 2**bits - 1
    low, high = np.minimum(w.min(1), 0), np.maximum(w.max(1), 0)
    if sym:
        high = np.maximum(high, -low)
        low = np.where(low < 0, -high, low)
    empty = (low == 0) & (high == 0)
    low, high = np.where(empty, -1.0, low), np.where(empty, 1.0, high)

    def grid(p):
        s = p * (high - low) / maxq
        return s, np.full_like(s, 2 ** (bits - 1)) if sym else np.round(-p * low / s)

    scale, zero = grid(1.0)
    if mse:
        best = np.full(len(w), np.inf)
        for step in range(80):
            s, z = grid(1 - step / 100)
            q = s[:, None] * (np.clip(np.round(w / s[:, None]) + z[:, None], 0, maxq) - z[:, None])
            error = (np.abs(q - w) ** 2.4).sum(1)
            better = error < best
            best = np.where(better, error, best)
            scale, zero = np.where(better, s, scale), np.where(better, z, zero)
    return scale, zero


def order_of(diagonal, case):
    n, g = len(diagonal), case["group_size"]
    if case["act_order"]:
        return np.argsort(-diagonal, kind="stable")
    if not case["group_aware_reorder"]:
        return np.arange(n)
    groups = [k * g + np.argsort(-diagonal[k * g:(k + 1) * g], kind="stable") for k in range(n // g)]
    groups.sort(key=lambda columns: -diagonal[columns].max())
    return np.concatenate(groups + [np.arange(n // g * g, n)]).astype(int)


def solve(w, h, case):
    """Codes, scales, zeros, g_idx, order, dequantized weights, margins to the nearest rounding border, loss."""
    out, n = w.shape
    bits, sym, block, mse = case["bits"], case["sym"], case["block_size"], case["mse"]
    g = case["group_size"] if case["group_size"] > 0 else n
    static = case["static_groups"] or g >= n
    w, h, maxq = w.copy(), h.copy(), 2**bits - 1
    dead = np.diag(h) == 0
    if g >= n:
        scale, zero = (p[:, None] for p in fit(w, bits, sym, mse))
    h[dead, dead] = 1
    w[:, dead] = 0
    count = -(-n // g)
    if g < n:
        fits = [fit(w[:, k * g:(k + 1) * g], bits, sym, mse) for k in range(count)]
        scale, zero = (np.stack([f[i] for f in fits], 1) for i in (0, 1))
    order = order_of(np.diag(h), case)
    by_place = static or not case["act_order"]
    group_of = (order if by_place else np.arange(n)) // g
    w, h = w[:, order], h[np.ix_(order, order)]
    h += np.eye(n) * case["percdamp"] * np.diag(h).mean()
    u = np.linalg.cholesky(np.linalg.inv(h)).T
    codes, q, margin, loss = np.zeros((out, n)), np.zeros((out, n)), np.full(out, np.inf), 0.0
    for first in range(0, n, block):
        last = min(first + block, n)
        start = w.copy()  # what groups of this block are fitted on: its own updates are missing
        errors = np.zeros((out, last - first))
        for i in range(first, last):
            k = group_of[i]
            if not static and i % g == 0:
                scale[:, k], zero[:, k] = fit(start[:, i:i + g], bits, sym, mse)
            s, z = scale[:, k], zero[:, k]
            v = w[:, i] / s
            c = np.clip(np.round(v) + z, 0, maxq)
            q[:, i], codes[:, i] = s * (c - z), c
            border = np.abs(v - np.floor(v) - 0.5)
            inside = (v + z > -0.5) & (v + z < maxq + 0.5)
            margin = np.minimum(margin, np.where(inside, border, np.minimum(np.abs(v + z + 0.5), np.abs(v + z - maxq - 0.5))))
            e = (w[:, i] - q[:, i]) / u[i, i]
            loss += (e**2).sum() / 2
            w[:, i:last] -= np.outer(e, u[i, i:last])
            errors[:, i - first] = e
        w[:, last:] -= errors @ u[first:last, last:]
    back = np.argsort(order)
    return codes[:, back], scale, zero, group_of[back], order, q[:, back], margin, loss


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    base = dict(bits=4, group_size=16, sym=True, act_order=False, static_groups=False, group_aware_reorder=False,
                mse=False, percdamp=0.01, block_size=16, out_features=16, in_features=48)
    cases = {
        "w4_row_asym": dict(group_size=-1, sym=False),
        "w4_g16_sym": {},
        "w4_g8_asym_lazy": dict(group_size=8, sym=False),
        "w3_g16_asym_act": dict(bits=3, sym=False, act_order=True),
        "w4_g16_asym_act_static": dict(sym=False, act_order=True, static_groups=True),
        "w2_g16_sym_mse": dict(bits=2, mse=True),
        "w8_g16_asym_in44": dict(bits=8, sym=False, in_features=44),
        "w4_g16_sym_gar": dict(group_aware_reorder=True),
        "w4_g16_asym_dead": dict(sym=False, dead=True),
        "w4_g32_asym_one_block": dict(sym=False, group_size=32, block_size=128),
        "w4_g12_asym_across_blocks": dict(sym=False, group_size=12, block_size=32),
        "w3_row_asym_rankdef": dict(bits=3, group_size=-1, sym=False, tokens=12),
    }
    for seed, (name, changes) in enumerate(cases.items()):
        case = {**base, **changes}
        rng = np.random.default_rng(seed)
        n, out, tokens = case["in_features"], case["out_features"], case.pop("tokens", 40)
        x = rng.normal(size=(2, tokens, n)) @ (np.eye(n) + 0.3 * rng.normal(size=(n, n))) * np.exp(rng.normal(size=n))
        if case.pop("dead", False):
            x[:, :, 5] = 0
        x, w = x.astype(np.float32), rng.normal(size=(out, n)).astype(np.float32)
        flat, w64 = x.reshape(-1, n).astype(np.float64), w.astype(np.float64)
        h = flat.T @ flat * 2 / len(x)
        codes, scale, zero, g_idx, order, q, margin, loss = solve(w64, h, case)
        energy = ((w64 @ flat.T) ** 2).sum()
        nearest = np.zeros_like(w64)
        g = case["group_size"] if case["group_size"] > 0 else n
        for k in range(0, n, g):
            s, z = (p[:, None] for p in fit(w64[:, k:k + g], case["bits"], case["sym"], case["mse"]))
            nearest[:, k:k + g] = s * (np.clip(np.round(w64[:, k:k + g] / s) + z, 0, 2**case["bits"] - 1) - z)
        tensors = dict(W=w, X=x, H=h.astype(np.float32), codes=codes.astype(np.uint8), scales=scale,
                       zeros=zero.astype(np.uint8), g_idx=g_idx.astype(np.int32), perm=order.astype(np.int32),
                       Q=q.astype(np.float32), row_margin=margin)
        metadata = {key: str(value).lower() for key, value in case.items()}
        metadata |= dict(n_sequences=str(len(x)), loss_f64=repr(float(loss)),
                         rel_err_gptq_f64=repr(float((((w64 - q) @ flat.T) ** 2).sum() / energy)),
                         rel_err_rtn=repr(float((((w64 - nearest) @ flat.T) ** 2).sum() / energy)))
        write_safetensors(folder / f"{name}.safetensors", tensors, metadata)


if __name__ == "__main__":
    main()
