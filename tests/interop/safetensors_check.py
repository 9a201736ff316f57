#!/usr/bin/env python3
"""Files of Python's safetensors, read and written again by this library, and read by Python's again.

tests/interop/safetensors_check.py SAFETENSORS_CHECK
"""

import ctypes
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from results import report

# How the package's own writer calls the types; it has no name for the two of 6 bits, which this library writes to it.
BITS = {
    "bool": 8, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64,
    "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64, "complex64": 64, "float8_e4m3fn": 8,
    "float8_e5m2": 8, "float8_e8m0fnu": 8, "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8, "float4_e2m1fn_x2": 8,
}  # fmt: skip
SHAPES = [[], [0], [3, 0, 5], [7], [2, 3, 4], [1, 1, 1, 1, 1, 1]]
OURS = 22  # types of the format
METADATA = {"format": "pt", "": "empty key", 'quotes " and \\ and \n': "ß▁\U0001f600", "empty value": ""}


def write_all_types(path, random):
    """Tensors of random bits; the writer takes addresses, so the buffers must live until it is done."""
    buffers, specs = [], {}
    for dtype, bits in BITS.items():
        for shape in SHAPES[dtype == "float4_e2m1fn_x2" :]:  # half a byte is no tensor
            data = random.integers(0, 2 if dtype == "bool" else 256, int(np.prod(shape)) * bits // 8, dtype=np.uint8)
            buffers.append(data)
            specs[f"{dtype} {shape} ▁"] = safetensors.TensorSpec(
                dtype=dtype,
                shape=shape,
                data_ptr=data.ctypes.data or ctypes.addressof(ctypes.c_char()),
                data_len=data.nbytes,
            )
    path.write_bytes(safetensors.serialize(specs, METADATA))


def write_numpy(path, random):
    arrays = {np.dtype(t).name: random.integers(0, 2, (3, 4)).astype(t) for t in "?bBhHiIqQefdF"}
    arrays |= {"scalar": np.array(0.5, dtype=np.float32), "empty": np.zeros((0, 3), dtype=np.int64)}
    save_file(arrays, path)


def contents(path):
    return {name: (t["dtype"], t["shape"], bytes(t["data"])) for name, t in safetensors.deserialize(path.read_bytes())}


def metadata(path):
    with safetensors.safe_open(path, "numpy") as file:
        return file.metadata()


def comparisons(program, folder):
    random = np.random.default_rng(1)
    for write in write_all_types, write_numpy:
        theirs, copy = folder / "theirs.safetensors", folder / "copy.safetensors"
        write(theirs, random)
        subprocess.run([program, theirs, copy], check=True)
        asked, answered = contents(theirs), contents(copy)
        for name, tensor in asked.items():
            yield f"{write.__name__}: {name}", answered.pop(name) == tensor
        yield f"{write.__name__}: metadata", metadata(copy) == {"format": "pt"} | (metadata(theirs) or {})
        yield f"{write.__name__}: {OURS} types of ours", len(answered) == OURS
        for name, (dtype, shape, data) in answered.items():
            counting = bytes(i & 0xFF for i in range(len(data)))
            yield f"{write.__name__}: {name}", name == f"ours.{dtype}" and shape == [3, 8] and data == counting
    # The last file again, through what most programs load with.
    with safetensors.safe_open(copy, "numpy") as file:
        for name, array in load_file(theirs).items():
            again = file.get_tensor(name)
            yield f"numpy: {name}", again.dtype == array.dtype and np.array_equal(again, array)


def main():
    with tempfile.TemporaryDirectory() as name:
        return report(comparisons(sys.argv[1], pathlib.Path(name)))


if __name__ == "__main__":
    sys.exit(main())
