"""Small model folders for llama_cpp_check.py: networks of random weights, and tokenizers of every kind."""
import collections
import itertools
import json
import struct

import numpy as np
from safetensors.numpy import save_file

SPACE = "\u2581"  # what SentencePiece writes for a space

CORPUS = """To be, or not to be: that is the question. Whether 'tis nobler in the mind to suffer the slings and arrows of
outrageous fortune, or to take arms against a sea of troubles... I've seen it, we'll see; don't THEY'RE it's HE'S!

In 1603 there were 12345 copies, 678,901.50 words and 3 3 33 333 3333 numbers; 2024-11-21 10:33:00.
    def main(args):\n\t\treturn [x ** 2 for x in range(10)]  # \r\n\r\n   \n\n\n
Où est la bibliothèque? Größe, naïve, señor, Ελληνικά, Русский текст, 我想在工作, 日本語, 한국어, हिन्दी, 🙂🙃 ✅ ½²
"""


def network(tokens, rope=None, head_dim=16, biases=False, tied=False, layers=2):
    """A configuration and its tensors."""
    hidden, inner, heads, kv_heads = 64, 96, 4, 2
    config = {
        "model_type": "llama", "hidden_act": "silu", "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head_dim, "vocab_size": tokens, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": tied, "bos_token_id": 1, "eos_token_id": 2, **(rope or {}),
    }  # fmt: skip
    random = np.random.default_rng(5)

    def normal(*shape, scale=1.0, mean=0.0):
        return (mean + scale * random.standard_normal(shape)).astype(np.float32)

    tensors = {"model.embed_tokens.weight": normal(tokens, hidden), "model.norm.weight": normal(hidden, scale=0.1, mean=1)}
    sizes = {
        "self_attn.q_proj": (heads * head_dim, hidden), "self_attn.k_proj": (kv_heads * head_dim, hidden),
        "self_attn.v_proj": (kv_heads * head_dim, hidden), "self_attn.o_proj": (hidden, heads * head_dim),
        "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner),
    }  # fmt: skip
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = normal(hidden, scale=0.1, mean=1)
        for name, (rows, columns) in sizes.items():
            tensors[f"{prefix}{name}.weight"] = normal(rows, columns, scale=2 * columns**-0.5)
            if biases:
                tensors[f"{prefix}{name}.bias"] = normal(rows)
    if not tied:
        tensors["lm_head.weight"] = normal(tokens, hidden, scale=hidden**-0.5)
    return config, tensors


def write_folder(folder, files, **network_options):
    """A random network with a tokenizer: files by name, of text or bytes."""
    config, tensors = network(**network_options)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def trained_merges(symbols, count):
    """Byte-pair encoding: the pairs that were merged. Text is not cut into words, so that whoever cuts it in another way
    than our engine gets other ids."""
    merges = []
    for _ in range(count):
        pair, times = collections.Counter(itertools.pairwise(symbols)).most_common(1)[0]
        if times < 2:
            break
        merges.append(pair)
        merged, i = [], 0
        while i < len(symbols):
            step = 2 if tuple(symbols[i : i + 2]) == pair else 1
            merged.append("".join(symbols[i : i + step]))
            i += step
        symbols = merged
    return merges


def byte_level_alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


def added(token, id, special):
    return {"id": id, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": special}  # fmt: skip


def byte_level_json(steps, ignore_merges=False, merges=400):
    """A tokenizer.json and how many tokens it has. Of its words, no merges make " unmade"."""
    alphabet = byte_level_alphabet()
    pairs = trained_merges([alphabet[byte] for byte in CORPUS.encode()], merges)
    pieces = list(alphabet.values()) + ["".join(pair) for pair in pairs] + ["\u0120unmade"]
    vocab = {piece: id + 3 for id, piece in enumerate(dict.fromkeys(pieces))}
    size = len(vocab) + 3
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return json.dumps({
        "added_tokens": [added("<pad>", 0, True), added("<bos>", 1, True), added("<|eot|>", 2, True),
                         added("<tool>", size, False)],
        "normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "ignore_merges": ignore_merges, "vocab": vocab, "merges": [" ".join(p) for p in pairs]},
    }), size + 1  # fmt: skip


def sentencepiece_pieces(merges=400):
    """Pieces after the special ones and the bytes, the best first, with scores."""
    text = CORPUS.replace(" ", SPACE)
    learned = ["".join(pair) for pair in trained_merges(list(text), merges)]
    characters = sorted(set(text) - {"\n", "\r", "\t", "🙃"})  # these become bytes
    pieces = [piece for piece in dict.fromkeys(learned) if not set(piece) & set("\n\r\t🙃")] + characters
    return [(piece, -float(rank)) for rank, piece in enumerate(pieces)]


SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def sentencepiece_json(normalizer, pre_tokenizer):
    """A tokenizer.json as Hugging Face makes it of a SentencePiece model, and how many tokens it has."""
    scored = sentencepiece_pieces()
    vocab = {piece: id for id, piece in enumerate(SPECIAL + BYTES + [piece for piece, _ in scored])}
    merges = [(piece[:cut], piece[cut:]) for piece, _ in scored for cut in range(1, len(piece))]
    decoders = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]  # fmt: skip
    return json.dumps({
        "added_tokens": [*(added(token, id, True) for id, token in enumerate(SPECIAL)), added("<tool>", len(vocab), False)],
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": vocab,
                  "merges": [list(pair) for pair in merges if pair[0] in vocab and pair[1] in vocab]},
    }), len(vocab) + 1  # fmt: skip


def llama2c_bin():
    pieces = [("<unk>", 0.0), ("\n<s>\n", 0.0), ("\n</s>\n", 0.0), *((byte, 0.0) for byte in BYTES)]
    pieces += [(piece.replace(SPACE, " "), score) for piece, score in sentencepiece_pieces()]
    encoded = [(piece.encode(), score) for piece, score in pieces]
    records = b"".join(struct.pack("<fi", score, len(piece)) + piece for piece, score in encoded)
    return struct.pack("<i", max(len(piece) for piece, _ in encoded)) + records, len(pieces)


def varint(x):
    return bytes([x | 0x80]) + varint(x >> 7) if x >= 0x80 else bytes([x])


def message(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def sentencepiece_model():
    """A tokenizer.model: the wire format of ModelProto. BPE with bytes, text as it is."""
    unknown, control, byte_type, normal = 2, 3, 6, 1
    pieces = [("<unk>", 0.0, unknown), ("<s>", 0.0, control), ("</s>", 0.0, control)]
    pieces += [(byte, 0.0, byte_type) for byte in BYTES] + [(p, score, normal) for p, score in sentencepiece_pieces()]
    fields = [
        message(1, message(1, piece.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind]))
        for piece, score, kind in pieces
    ]
    bpe, plain_text = message(2, b"\x18\x02"), message(3, message(1, b"identity") + b"\x18\x01\x20\x00")
    return b"".join(fields) + bpe + plain_text, len(pieces)
