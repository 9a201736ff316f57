#!/usr/bin/env python3
"""GGUF files and blocks against llama.cpp's own Python package, bit for bit.

Writes a file of random blocks of every type and metadata of every type with `gguf`, lets gguf_check.cpp read it and
write one in return, and compares: what it read, what it wrote, and what the blocks of its own layers stand for.

    pip install gguf && tests/interop/gguf_check.py [compiler flags…]
"""

import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
from gguf.quants import dequantize

from results import report

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
# Where the f16 fields of a block are; for the others, at 0.
HALVES = {
    "Q4_1": [0, 2],
    "Q5_1": [0, 2],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q6_K": [208],
}
ROWS, COLUMNS = 64, 512


def random_blocks(random, name):
    """Rows of blocks of any bits, but that f16 fields are finite: zeros of both signs and subnormal numbers among them."""
    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = random.integers(0, 256, (ROWS * COLUMNS // elements, size), dtype=np.uint8)
    for place in HALVES.get(name, [0]):
        halves = random.integers(0, 1 << 16, len(blocks), dtype=np.uint16)
        halves = np.where(halves & 0x7C00 == 0x7C00, halves & 0x83FF, halves).astype("<u2")
        halves[:2] = 0, 0x8000
        blocks[:, place : place + 2] = halves.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(ROWS, -1)


def write_question(path, random):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("t.u8", 200)
    writer.add_int8("t.i8", -100)
    writer.add_uint16("t.u16", 60000)
    writer.add_int16("t.i16", -30000)
    writer.add_uint32("t.u32", 4000000000)
    writer.add_int32("t.i32", -2000000000)
    writer.add_uint64("t.u64", 1 << 63)
    writer.add_int64("t.i64", -(1 << 62))
    writer.add_float32("t.f32", 0.1)
    writer.add_float64("t.f64", 0.1)
    writer.add_bool("t.bool", True)
    writer.add_string("t.string", "Grüße\n")
    writer.add_array("t.strings", ["a", "▁b", "c d"])
    writer.add_array("t.i32s", [1, -2, 3])
    writer.add_array("t.f32s", [0.5, -0.25])
    writer.add_array("t.bools", [True, False])
    for name in TYPES:
        writer.add_tensor(name, random_blocks(random, name), raw_dtype=gguf.GGMLQuantizationType[name])
    writer.add_tensor("F32", random.standard_normal((3, 5), dtype=np.float32))
    writer.add_tensor("F16", random.standard_normal(7).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def answer_to(question, folder, compiler):
    program, answer = folder / "gguf_check", folder / "answer.gguf"
    source = ROOT / "tests" / "interop" / "gguf_check.cpp"
    subprocess.run([*compiler, "-std=c++20", f"-I{ROOT}/include", source, "-o", program], check=True)
    subprocess.run([program, question, answer], check=True)
    return answer


def floats(tensor):
    shape = [int(n) for n in tensor.shape[::-1]]
    return np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).reshape(shape)


def same_bits(a, b):
    return np.array_equal(np.ascontiguousarray(a).view(np.uint32), np.ascontiguousarray(b).view(np.uint32))


def same_field(a, b):
    return a.types == b.types and a.contents() == b.contents()


def comparisons(asked, answered):
    """Pairs of what is compared and whether it is equal."""
    keys = [key for key in asked.fields if not key.startswith("GGUF.")]
    yield f"{len(keys)} metadata pairs", all(same_field(asked.fields[k], answered.fields[k]) for k in keys)
    tensors = {tensor.name: tensor for tensor in answered.tensors}
    for tensor in asked.tensors:
        theirs = floats(tensor)
        yield f"{tensor.name}: {theirs.size} weights", same_bits(floats(tensors[tensor.name + ".floats"]), theirs)
    for name, tensor in tensors.items():
        if name.endswith(".blocks"):
            type_name, theirs = tensor.tensor_type.name, floats(tensor)
            # d·code + m is never -0 where scale·(code - zero) is.
            same = np.array_equal if type_name.endswith("_1") else same_bits
            yield f"{name} in {type_name}: {theirs.size} weights", same(
                floats(tensors[name.replace(".blocks", ".values")]), theirs
            )


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        question = folder / "question.gguf"
        write_question(question, np.random.default_rng(1))
        answer = answer_to(question, folder, sys.argv[1:] or ["c++", "-O2"])
        return report(comparisons(gguf.GGUFReader(question), gguf.GGUFReader(answer)))


if __name__ == "__main__":
    sys.exit(main())
