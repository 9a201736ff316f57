#!/usr/bin/env python3
"""Train a tiny byte-level LLaMA on one text file and write a Hugging Face folder.

Needs only numpy and PyTorch 1.13 or later (Debian 12: python3-torch). The model is a
LlamaForCausalLM in every respect (RMSNorm, rotate-half RoPE, grouped-query attention, SwiGLU,
tied embeddings). A token is a byte; token 0, which text does not contain, marks the beginning.
    train_model.py --text input.txt --out models/bard --minutes 60
"""
import argparse
import json
import math
import os
import pathlib
import time
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # must precede torch; doubles the speed

import numpy as np
import torch
import torch.nn.functional as F

CONTEXT = 256
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 256,
    "hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 5,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 32, "hidden_act": "silu",
    "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "rope_scaling": None, "attention_bias": False, "mlp_bias": False, "initializer_range": 0.02,
    "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0, "torch_dtype": "float16"}


def initial_weights(c):
    """The tensors by their Hugging Face names: norms are one, all others normally distributed."""
    hidden, inner = c["hidden_size"], c["intermediate_size"]
    q, kv = (c[k] * c["head_dim"] for k in ("num_attention_heads", "num_key_value_heads"))
    layer = {"self_attn.q_proj": (q, hidden), "self_attn.k_proj": (kv, hidden),
             "self_attn.v_proj": (kv, hidden), "self_attn.o_proj": (hidden, q),
             "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
             "mlp.down_proj": (hidden, inner),
             "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,)}
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], hidden)}
    for i in range(c["num_hidden_layers"]):
        shapes.update({f"model.layers.{i}.{name}.weight": s for name, s in layer.items()})
    shapes["model.norm.weight"], w = (hidden,), {}
    for name, shape in shapes.items():
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        std = c["initializer_range"] / (math.sqrt(2 * c["num_hidden_layers"]) if residual else 1)
        w[name] = (torch.randn(shape) * std if shape[1:] else torch.ones(shape)).requires_grad_()
    return w


def rms_norm(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, True) + CONFIG["rms_norm_eps"]) * weight


def attention(x, w, name, cos, sin):
    (b, t, _), dim, kv = x.shape, CONFIG["head_dim"], CONFIG["num_key_value_heads"]

    def heads(kind, rotate):  # (batch * kv heads, rows, dim): query heads of a group stack as rows
        y = F.linear(x, w[f"{name}.{kind}_proj.weight"]).view(b, t, -1, dim).transpose(1, 2)
        if rotate:
            low, high = y.chunk(2, -1)
            y = y * cos + torch.cat((-high, low), -1) * sin
        return y.reshape(b * kv, -1, dim)

    q, k, v = heads("q", True), heads("k", True), heads("v", False)
    mask = torch.full((t, t), -1e9).triu(1).repeat(q.shape[1] // t, 1)
    scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=dim ** -0.5)
    y = torch.bmm(scores.softmax(-1), v).view(b, -1, t, dim).transpose(1, 2).reshape(b, t, -1)
    return F.linear(y, w[f"{name}.o_proj.weight"])


def logits_of(w, ids, dropout=0.0):
    dim = CONFIG["head_dim"]
    frequency = CONFIG["rope_theta"] ** (torch.arange(0, -dim, -2) / dim)
    angle = torch.outer(torch.arange(ids.shape[1]).float(), frequency)
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    x = F.dropout(w["model.embed_tokens.weight"][ids], dropout)
    for i in range(CONFIG["num_hidden_layers"]):
        name = f"model.layers.{i}."
        y = rms_norm(x, w[name + "input_layernorm.weight"])
        x = x + F.dropout(attention(y, w, name + "self_attn", cos, sin), dropout)
        y = rms_norm(x, w[name + "post_attention_layernorm.weight"])
        gate, up, down = (w[f"{name}mlp.{kind}_proj.weight"] for kind in ("gate", "up", "down"))
        x = x + F.dropout(F.linear(F.silu(F.linear(y, gate)) * F.linear(y, up), down), dropout)
    return F.linear(rms_norm(x, w["model.norm.weight"]), w["model.embed_tokens.weight"])


def write(path, data):
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def save_safetensors(path, state):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in sorted(state.items()):
        raw = tensor.detach().half().numpy().astype("<f2").tobytes()
        header[name] = {"dtype": "F16", "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write(path, len(text).to_bytes(8, "little") + text + data)


def load_safetensors(path):
    blob, state = path.read_bytes(), {}
    size = int.from_bytes(blob[:8], "little")
    header, data = json.loads(blob[8:8 + size]), blob[8 + size:]
    del header["__metadata__"]
    for name, t in header.items():
        values = np.frombuffer(data[slice(*t["data_offsets"])], "<f2").astype(np.float32)
        state[name] = torch.from_numpy(values.reshape(t["shape"]))
    return state


def save_description(out):
    """Write the configuration and the tokenizer, whose ids are the bytes themselves."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's alphabet of bytes
    hidden = [b for b in range(256) if b not in shown]
    char = [chr(b) if b in shown else chr(256 + hidden.index(b)) for b in range(256)]
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
    model = dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None,
                 end_of_word_suffix=None, fuse_unk=False, byte_fallback=False,
                 vocab={c: b for b, c in enumerate(char)}, merges=[])
    files = {
        "config.json": CONFIG,
        "generation_config.json": dict(bos_token_id=0, eos_token_id=0, do_sample=True,
                                       temperature=0.8),
        "tokenizer_config.json": dict(
            tokenizer_class="PreTrainedTokenizerFast",
            model_max_length=CONTEXT, clean_up_tokenization_spaces=False),
        "tokenizer.json": dict(
            version="1.0", truncation=None, padding=None, added_tokens=[], normalizer=None,
            pre_tokenizer=level, post_processor=None, decoder=level, model=model)}
    for name, content in files.items():
        write(out / name, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def batches(data, size, rng):
    """Endless (inputs, targets); a quarter of the windows begin with token 0 and a speech."""
    blank = np.flatnonzero((data[:-1] == 10) & (data[1:] == 10)) + 2
    starts = np.append(0, blank[blank < len(data) - CONTEXT - 1])
    while True:
        rows = []
        for _ in range(size):
            speech = rng.random() < 0.25
            s = rng.choice(starts) if speech else rng.integers(len(data) - CONTEXT)
            row = data[s:s + CONTEXT + 1 - speech]
            rows.append(np.append(0, row) if speech else row)
        ids = torch.from_numpy(np.stack(rows).astype(np.int64))
        yield ids[:, :-1], ids[:, 1:]


def loss_of(weights, x, y, dropout=0.0):
    return F.cross_entropy(logits_of(weights, x, dropout).flatten(0, 1), y.flatten())


@torch.no_grad()
def held_out(weights, data):
    """Mean loss in nats per byte over adjacent windows (none begins with token 0)."""
    n = (len(data) - 1) // CONTEXT
    ids = torch.from_numpy(data[:n * CONTEXT + 1].astype(np.int64))
    x, y = ids[:-1].view(n, CONTEXT).split(16), ids[1:].view(n, CONTEXT).split(16)
    return sum(loss_of(weights, a, b).item() * len(a) for a, b in zip(x, y)) / n


@torch.no_grad()
def sample(weights, count, temperature, seed):
    gen, ids = torch.Generator().manual_seed(seed), [0]
    for _ in range(count):
        logits = logits_of(weights, torch.tensor([ids[-CONTEXT:]]))[0, -1] / temperature
        ids.append(torch.multinomial(logits.softmax(-1), 1, generator=gen).item())
    return bytes(ids[1:]).decode("utf-8", "replace")


def round_to_nearest(w, bits, group=128):
    g, middle = w.reshape(-1, group), 2 ** (bits - 1)
    scale = 2 * g.abs().amax(1, True) / (2 ** bits - 1)
    return (torch.round(g / scale).clamp(-middle, middle - 1) * scale).reshape(w.shape)


def verify(out, data, seed):
    """Examine the saved file: held-out loss, also with rounded projections, and a sample."""
    saved = load_safetensors(out / "model.safetensors")
    for bits in (4, 3, 2, 16):
        weights = {name: round_to_nearest(w, bits) if bits < 16 and "_proj" in name else w
                   for name, w in saved.items()}
        loss = held_out(weights, data)
        print(f"{bits} bits: held-out {loss:.4f} nats/byte, perplexity {math.exp(loss):.3f}")
    print(sample(saved, 300, 0.8, seed))


def train(args, data, test):
    args.out.mkdir(parents=True, exist_ok=True)
    save_description(args.out)
    weights = initial_weights(CONFIG)
    print("parameters", sum(w.numel() for w in weights.values()), flush=True)
    groups = [dict(params=[w for w in weights.values() if w.dim() == dim], weight_decay=decay)
              for dim, decay in ((2, 0.1), (1, 0.0))]
    opt = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95), foreach=True)
    stream = batches(data, args.batch, np.random.default_rng(args.seed))
    start, next_eval, best, step, done, mean = time.time(), 120, float("inf"), 0, 0.0, None
    while done < 1:
        for g in opt.param_groups:  # warm-up over 2 % of the training, a cosine down to zero
            g["lr"] = args.lr * min(1, done / 0.02 + 5e-3) * (1 + math.cos(math.pi * done)) / 2
        loss = loss_of(weights, *next(stream), args.dropout)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        opt.step()
        step += 1
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        spent = time.time() - start
        done = step / args.steps if args.steps else spent / (60 * args.minutes)
        if spent >= next_eval or done >= 1:
            next_eval = spent + 120
            value = held_out(weights, test)
            print(f"{spent:6.0f} s  {step:6d} steps  {step * args.batch * CONTEXT:9d} tokens  "
                  f"train {mean:.4f}  held-out {value:.4f}", flush=True)
            if value < best:
                best = value
                save_safetensors(args.out / "model.safetensors", weights)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--text", required=True, help="the text; its last 5 %% are held out")
    ap.add_argument("--out", required=True, type=pathlib.Path, help="the folder to write")
    ap.add_argument("--minutes", type=float, default=60, help="time to train for")
    ap.add_argument("--steps", type=int, help="train for so many steps instead")
    ap.add_argument("--batch", type=int, default=16, help="windows per step")
    ap.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    ap.add_argument("--dropout", type=float, default=0.1)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--verify", action="store_true", help="only examine the saved model")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    data = np.fromfile(args.text, np.uint8)
    cut = len(data) * 95 // 100
    if not args.verify:
        train(args, data[:cut], data[cut:])
    verify(args.out, data[cut:], args.seed)


if __name__ == "__main__":
    main()
