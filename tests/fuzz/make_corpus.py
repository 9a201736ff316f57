#!/usr/bin/env python3
"""Writes tests/fuzz/corpus: for each harness a few small inputs that are right, so that fuzzing starts where reading
goes on, and some that are wrong in ways which no single change of a right one finds. Needs Python alone; the files are
the same on every run."""
import json
import pathlib
import struct

ROOT = pathlib.Path(__file__).parent / "corpus"


def put(harness, name, data):
    folder = ROOT / harness
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


def words(count, seed=1):
    """So many 32-bit words that look random."""
    state = []
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) % 2**32
        state.append(seed)
    return struct.pack(f"<{count}I", *state)


def halves(count):
    """F16 scales: 0.5, 0.25, 0.5, …"""
    return (b"\x00\x38\x00\x34" * count)[: 2 * count]


# safetensors

BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
        "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}


def raw_safetensors(header, data=b""):
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + data


def safetensors(tensors, metadata=None):
    """tensors: name → (dtype, shape, bytes)"""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return raw_safetensors(text + b" " * (-len(text) % 8), data)


def make_safetensors():
    def one(fields, data=b""):
        return raw_safetensors('{"t":{' + fields + "}}", data)

    worked = {"a": ("F16", [2, 2], b"\x00\x3C\x00\x38\x00\x34\x00\xBE"), "b": ("I32", [1], b"\x78\x56\x34\x12")}
    nested = "[" * 10 + "]" * 10
    seeds = {
        "documented": safetensors(worked, {"format": "pt"}),
        "every_type": safetensors({t: (t, [8], words(16)[:b]) for t, b in BITS.items()}),
        "no_tensors": raw_safetensors("{}"),
        "empty_tensors": safetensors({"e": ("F32", [0], b""), "f": ("F64", [3, 0], b""), "s": ("I8", [], b"x")}),
        "other_names": safetensors({"": ("U8", [1], b"x"), "a\x00b": ("U8", [1], b"y"), "é\n\x1b": ("U8", [1], b"z")}),
        "extra_fields": one(f'"extra":{nested},"dtype":"U8","shape":[1],"data_offsets":[0,1]', b"x"),
        "nested_shape": one(f'"dtype":"U8","shape":{nested},"data_offsets":[0,1]', b"x"),
        "overlap": raw_safetensors('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},'
                                   '"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', b"xyz"),
        "overflow": one('"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]', b"xxxx"),
        "odd_numbers": one('"dtype":"U8","shape":[-0,1e400,18446744073709551616,1.0],"data_offsets":[0,1]', b"x"),
        "not_utf8": raw_safetensors(b'{"\xff\xfe":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"),
    }
    for name, data in seeds.items():
        put("safetensors", name, data)


def make_weight_index():
    def index(weight_map):
        return json.dumps({"metadata": {"total_size": 3}, "weight_map": weight_map}, separators=(",", ":"))

    right = {"a": "1", "b": "1", "c": "2"}
    put("weight_index", "two_shards", index(right))
    put("weight_index", "one_shard", index({"c": "2"}))
    put("weight_index", "missing_tensor", index(right | {"d": "2"}))
    put("weight_index", "missing_shard", index(right | {"d": "3"}))
    put("weight_index", "another_shard", index(right | {"b": "2"}))
    put("weight_index", "outside", index({"a": "../../etc/passwd"}))
    put("weight_index", "itself", index({"a": "model.safetensors.index.json"}))
    put("weight_index", "endless_name", index({"a": "n" * 300}))
    put("weight_index", "twice", '{"weight_map":{"a":"1","a":"2"}}')


def make_hessian():
    def hessian(dtype, values, **changes):
        metadata = {"format": "pt", "gptq_file": "hessian", "version": "1", "in_features": "3", "tokens": "4",
                    "refused_tokens": "1", "weight": "2.5"} | changes
        return safetensors({"sum_lower": (dtype, [len(values)], struct.pack("<6" + "fd"[dtype == "F64"], *values))},
                           metadata)

    right = [1, 2, 3, 4, 5, 6]
    put("hessian", "floats", hessian("F32", right))
    put("hessian", "doubles", hessian("F64", right))
    put("hessian", "not_finite", hessian("F32", [1, 2, float("nan"), 4, 5, 6]))
    put("hessian", "most_features", hessian("F32", right, in_features="4294967295"))
    put("hessian", "weight_of_nothing", hessian("F32", right, tokens="0"))


# GGUF

def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return u64(len(data)) + data


def padded(data, alignment=32):
    return data + bytes(-len(data) % alignment)


def gguf(pairs, tensors=(), version=3, alignment=32):
    """pairs: (key, type, bytes); tensors: (name, ne, type, bytes)"""
    header = b"GGUF" + u32(version) + u64(len(tensors)) + u64(len(pairs))
    for key, kind, value in pairs:
        header += text(key) + u32(kind) + value
    data = b""
    for name, ne, kind, content in tensors:
        header += text(name) + u32(len(ne)) + b"".join(map(u64, ne)) + u32(kind) + u64(len(data))
        data += padded(content, alignment)
    return padded(header, alignment) + data


# number → (elements of a block, bytes of a block): what is read as floats
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
          11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 28: (1, 8), 30: (1, 2)}


def make_gguf():
    architecture = ("general.architecture", 8, text("llama"))
    values = [("u8", 0, b"\x01"), ("i8", 1, b"\xFF"), ("u16", 2, b"\1\2"), ("i16", 3, b"\1\2"), ("u32", 4, u32(7)),
              ("i32", 5, u32(7)), ("f32", 6, struct.pack("<f", 1.5)), ("bool", 7, b"\1"), ("string", 8, text("s")),
              ("u64", 10, u64(7)), ("i64", 11, u64(7)), ("f64", 12, struct.pack("<d", 0.1)),
              ("strings", 9, u32(8) + u64(3) + text("a") + text("") + text("bc")),
              ("bools", 9, u32(7) + u64(3) + b"\1\0\1"), ("floats", 9, u32(6) + u64(1) + struct.pack("<f", 2)),
              ("none", 9, u32(4) + u64(0))]
    block = bytes.fromhex("0038") + bytes(0x11 * i for i in range(16))
    every_type = [(f"t{n}", [2 * e, 1], n, words(2 * b)[: 2 * b]) for n, (e, b) in BLOCKS.items()]
    put("gguf", "documented", gguf([architecture], [("t.weight", [32, 2], 2, block * 2)]))
    put("gguf", "version_2", gguf([architecture], [("t.weight", [32, 2], 2, block * 2)], version=2))
    put("gguf", "every_value", gguf(values))
    put("gguf", "every_type", gguf([], every_type))
    put("gguf", "types_without_floats", gguf([], [("i", [3], 26, bytes(12)), ("q", [256], 16, bytes(66))]))
    put("gguf", "alignment_8", gguf([("general.alignment", 4, u32(8))],
                                    [("a", [3], 24, b"abc"), ("b", [], 0, bytes(4))], alignment=8))
    put("gguf", "nothing", gguf([]))
    put("gguf", "endless_string", b"GGUF" + u32(3) + u64(0) + u64(1) + u64(2**63) + bytes(32))
    put("gguf", "overflow", gguf([], [("t", [2**32, 2**32], 0, bytes(32))]))


# Quantized modules

def gptq_config(**changes):
    return {"quant_method": "gptq", "bits": 4, "group_size": 8, "desc_act": False, "sym": True,
            "checkpoint_format": "gptq", "lm_head": False} | changes


def awq_config(**changes):
    return {"quant_method": "awq", "bits": 4, "group_size": 8, "zero_point": True, "version": "gemm",
            "modules_to_not_convert": None} | changes


def mixed_compressed_config():
    """Two groups of modules, of 8 bits and of 4."""
    config, other = compressed_config(num_bits=8, symmetric=False), compressed_config()
    config["config_groups"]["group_1"] = other["config_groups"]["group_0"] | {"targets": ["re:.*up_proj"]}
    return config


def compressed_config(**changes):
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 8,
               "actorder": None, "dynamic": False} | changes
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
            "config_groups": {"group_0": group}, "ignore": ["lm_head"], "kv_cache_scheme": None}


def config_json(quantization):
    return json.dumps({"hidden_size": 16, "quantization_config": quantization}, separators=(",", ":"))


def module(quantization, tensors):
    named = {"m." + suffix: tensor for suffix, tensor in tensors.items()}
    return config_json(quantization).encode() + b"\0" + safetensors(named)


def i32(rows, cols, seed=1):
    return ("I32", [rows, cols], words(rows * cols, seed))


def gptq_tensors(bits, out, columns, groups):
    def count(n):
        return -(-n * bits // 32)

    zeros = b"\x55" * 4 * groups * count(out)
    return {"qweight": i32(count(columns), out), "qzeros": ("I32", [groups, count(out)], zeros),
            "scales": ("F16", [groups, out], halves(groups * out))}


def make_gptq_module():
    def g_idx(groups):
        return {"g_idx": ("I32", [len(groups)], struct.pack(f"<{len(groups)}i", *groups))}

    for bits in (2, 3, 4, 8):
        put("gptq_module", f"{bits}_bits", module(gptq_config(bits=bits), gptq_tensors(bits, 32, 32, 4)))
    two_groups = gptq_tensors(4, 8, 16, 2)
    put("gptq_module", "act_order", module(gptq_config(desc_act=True), two_groups | g_idx([0, 1, -1, -2] * 4)))
    put("gptq_module", "outside_of_groups", module(gptq_config(desc_act=True), two_groups | g_idx([0, 1, 2, -3] * 4)))
    mixed = {"+:.*up_proj": {"bits": 8}, "+:.*down_proj": {"bits": 4, "group_size": 8}, "-:lm_head": {}}
    put("gptq_module", "mixed", module(gptq_config(bits=2, dynamic=mixed), two_groups))
    put("gptq_module", "version_2", module(gptq_config(checkpoint_format="gptq_v2", sym=False), two_groups))
    put("gptq_module", "whole_row", module(gptq_config(group_size=-1), gptq_tensors(4, 8, 20, 1) | g_idx([0] * 20)))
    ragged = gptq_tensors(4, 8, 20, 3) | g_idx([i // 8 for i in range(20)])
    put("gptq_module", "ragged_group", module(gptq_config(), ragged))
    floats = {"scales": ("F32", [2, 8], words(16)), "bias": ("BF16", [8], halves(8))}
    put("gptq_module", "floats_and_bias", module(gptq_config(), two_groups | floats))
    put("gptq_module", "not_finite", module(gptq_config(), two_groups | {"scales": ("F16", [2, 8], b"\x00\x7E" * 16)}))
    borrowed = {"qzeros": ("I32", [2, 1], b"\x6F\x77\x77\x77" * 2)}
    put("gptq_module", "borrowed_zeros",
        module(gptq_config(meta={"quantizer": ["gptqmodel:2.0.0"]}), two_groups | borrowed))


def make_awq_module():
    tensors = {"qweight": i32(16, 2), "qzeros": i32(2, 2, 5), "scales": ("F16", [2, 16], halves(32))}
    put("awq_module", "two_groups", module(awq_config(), tensors))
    put("awq_module", "symmetric", module(awq_config(zero_point=False),
                                          tensors | {"qzeros": ("I32", [2, 2], b"\x88" * 16)}))
    put("awq_module", "whole_row", module(awq_config(group_size=-1), {
        "qweight": i32(11, 1), "qzeros": i32(1, 1), "scales": ("BF16", [1, 8], halves(8)),
        "bias": ("F32", [8], words(8))}))
    own = {"w_bit": 4, "q_group_size": 8, "zero_point": True, "version": "GEMM"}
    put("awq_module", "own_spelling", module(own, tensors))


def make_compressed_tensors_module():
    def tensors(bits, out, columns, groups, zeros):
        def count(n):
            return -(-n * bits // 32)

        result = {"weight_packed": i32(out, count(columns)),
                  "weight_scale": ("F16", [out, groups], halves(out * groups)),
                  "weight_shape": ("I64", [2], struct.pack("<2q", out, columns))}
        return result | ({"weight_zero_point": i32(count(out), groups)} if zeros else {})

    for bits in range(2, 9):
        put("compressed_tensors_module", f"{bits}_bits",
            module(compressed_config(num_bits=bits, symmetric=False), tensors(bits, 5, 16, 2, True)))
    put("compressed_tensors_module", "symmetric", module(compressed_config(), tensors(4, 5, 16, 2, False)))
    put("compressed_tensors_module", "mixed", module(mixed_compressed_config(), tensors(4, 5, 16, 2, False)))
    put("compressed_tensors_module", "channels",
        module(compressed_config(strategy="channel", group_size=None), tensors(4, 5, 13, 1, False)))
    scattered = {"weight_g_idx": ("I32", [16], struct.pack("<16i", *[0, 1] * 8)), "bias": ("F16", [5], halves(5))}
    put("compressed_tensors_module", "act_order",
        module(compressed_config(actorder="group"), tensors(4, 5, 16, 2, False) | scattered))
    wrong = {"weight_shape": ("I64", [2], struct.pack("<2q", -1, 2**62))}
    put("compressed_tensors_module", "wrong_shape", module(compressed_config(), tensors(4, 5, 16, 2, False) | wrong))


def make_quantization_config():
    configs = {
        "gptq": gptq_config(),
        "gptq_full": gptq_config(format="gptq", true_sequential=True, static_groups=True, damp_percent=0.01,
                                 pack_dtype="int32", meta={"quantizer": ["gptqmodel:7.4.0"], "uri": "u"}),
        "gptq_v2": gptq_config(checkpoint_format="gptq_v2", sym=False, bits=3, group_size=-1),
        "gptq_modules": gptq_config(dynamic={"-:lm_head": {}, "+:.*down.*": {"bits": 8, "group_size": 32}}),
        "gptq_old": {"wbits": 4, "groupsize": 128, "q_group_size": 128, "act_order": True},
        "awq": awq_config(modules_to_not_convert=["gate"]),
        "awq_own": {"w_bit": 4, "q_group_size": 128, "zero_point": True, "version": "GEMM"},
        "compressed_tensors": compressed_config(),
        "compressed_tensors_asymmetric": compressed_config(symmetric=False, num_bits=8, actorder="static"),
        "compressed_tensors_mixed": mixed_compressed_config(),
        "compressed_tensors_channels": compressed_config(strategy="channel", group_size=None),
        "another_method": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    }
    for name, config in configs.items():
        put("quantization_config", name, config_json(config))
    put("quantization_config", "none", '{"hidden_size":16}')
    put("quantization_config", "odd_numbers", '{"quantization_config":{"bits":4,"group_size":18446744073709551616,'
                                              '"damp_percent":1e400}}')


# What the example engine reads

def make_llama_config():
    small = {"model_type": "llama", "hidden_act": "silu", "hidden_size": 8, "intermediate_size": 16,
             "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 32,
             "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "bos_token_id": 1,
             "eos_token_id": [2, 3], "head_dim": 4}
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192}
    for name, changes in {"small": {}, "rope_theta": {"rope_theta": 500000.0}, "llama3": {"rope_scaling": scaling},
                          "linear": {"rope_scaling": {"type": "linear", "factor": 2.0}},
                          "parameters": {"rope_parameters": scaling | {"rope_theta": 1e6}},
                          "quantized": {"quantization_config": gptq_config()}}.items():
        put("llama_config", name, json.dumps(small | changes, separators=(",", ":")))


def make_llama_tokenizers():
    def token(content, number, special=True):
        return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": not special, "special": special}

    letters = {c: i for i, c in enumerate("abcdeht'o1\u0120\u010a")}
    bytewise = {"added_tokens": [token("<s>", 14), token("oo", 15, False)], "normalizer": None,
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": "(?i:'s|'t)|\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+|\\s+"},
                     "behavior": "Isolated", "invert": False},
                    {"type": "Digits", "individual_digits": True},
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
                "decoder": {"type": "ByteLevel"},
                "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                          "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                          "ignore_merges": True, "vocab": letters | {"ab": 12, "abc": 13}, "merges": ["a b", "ab c"]}}
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["\u2581", "a", "b", "\u2581a"]
    sentencepiece = {"added_tokens": [token("<s>", 1), token("</s>", 2)],
                     "normalizer": {"type": "Sequence", "normalizers": [
                         {"type": "Prepend", "prepend": "\u2581"},
                         {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
                     "pre_tokenizer": None,
                     "decoder": {"type": "Sequence", "decoders": [
                         {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                         {"type": "ByteFallback"}, {"type": "Fuse"},
                         {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
                     "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
                               "vocab": {p: i for i, p in enumerate(pieces)}, "merges": [["\u2581", "a"]]}}
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
    spaces = sentencepiece | {"normalizer": None, "pre_tokenizer": metaspace, "decoder": metaspace}
    for name, content in {"byte_level": bytewise, "sentencepiece": sentencepiece, "metaspace": spaces}.items():
        put("llama_tokenizer_json", name, json.dumps(content, separators=(",", ":")))

    binary = u32(6)
    for number, piece in enumerate(pieces):
        binary += struct.pack("<f", -number) + u32(len(piece.encode())) + piece.encode()
    put("llama_tokenizer_bin", "small", binary)


make_safetensors()
make_weight_index()
make_hessian()
make_gguf()
make_gptq_module()
make_awq_module()
make_compressed_tensors_module()
make_quantization_config()
make_llama_config()
make_llama_tokenizers()
