#!/usr/bin/env python3
"""GGUF files of `gptq-llama convert` in llama.cpp itself: the ids of texts, the logits, and 64 greedy tokens.

    tests/interop/llama_cpp_check.py GPTQ_LLAMA LLAMA_CPP_CHECK

GPTQ_LLAMA is the command, and LLAMA_CPP_CHECK the program of llama_cpp_check.cpp. Exits with 77 where llama_cpp, of the
package llama-cpp-python, cannot be imported.

llama.cpp rounds activations to 8 bits before it multiplies them with quantized weights. Its logits are then 0.1 off,
and where two tokens are nearer to each other than that, it may take the other. So each quantized model runs there
twice. Once with the file's weights as floats, where nothing is rounded: logits must be our engine's but for the 16 bits
that it rounds activations to, which is 257 times as fine, and where two tokens are farther apart than that, the tokens
must be the same. And once as it is: where the tokens of the two differ first, our engine's choice must have been closer
than the rounding moved logits, and some continuations must be the same to the end.
"""
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import gguf
    import llama_cpp
    import numpy as np
    from gguf.quants import dequantize

    import model_folders as make
except ImportError as e:
    print("skipped: llama.cpp cannot be asked:", e)
    sys.exit(77)
from results import report

BARD = pathlib.Path(__file__).resolve().parents[2] / "models" / "bard"
STEPS = 64
F32 = 0  # ggml's number, for the cache of keys and values
PROMPTS = ["", "KING RICHARD:\n", "O, what a ", "ROMEO:\nBut soft, what light", "First Citizen:\nBefore we",
           "MENENIUS:\nI tell you, friends, most charitable care\n", "Now is the winter of",
           "DUKE VINCENTIO:\nMy lord, "]  # fmt: skip

# Of the embedded model: its name, how `quantize` makes it, how `convert` writes it, and the types of its projections.
QUANTIZED = [
    ("4 bits, groups of 32", ["--bits=4", "--group-size=32", "--nearest"], [], {"Q4_0"}),
    ("4 bits, groups of 64, GPTQ", ["--bits=4", "--group-size=64", "--samples=8", "--context=128"], [], {"Q4_0"}),
    ("4 bits, groups of 64, asymmetric", ["--bits=4", "--group-size=64", "--asym", "--nearest"], [], {"Q5_0"}),
    ("3 bits, groups of 64", ["--bits=3", "--group-size=64", "--nearest"], [], {"Q4_0"}),
    ("3 bits, groups of 32, asymmetric", ["--bits=3", "--group-size=32", "--asym", "--nearest"], [], {"Q4_0"}),
    ("2 bits, groups of 32, asymmetric", ["--bits=2", "--group-size=32", "--asym", "--nearest"], [], {"Q4_0"}),
    ("8 bits, groups of 128", ["--bits=8", "--nearest"], [], {"Q8_0"}),
]  # fmt: skip


class engine:
    """Our own: the command, and the program that answers what the command does not."""

    def __init__(self, command, program, folder):
        self.command, self.program, self.folder = command, program, folder
        self.files = itertools.count()

    def run(self, *arguments, input=None):
        done = subprocess.run(list(map(str, arguments)), input=input, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{arguments[0]} {arguments[1]}: {done.stderr.strip()}")
        return done.stdout

    def file(self, suffix):
        return self.folder / f"{next(self.files)}{suffix}"

    def quantized(self, model, *options):
        out = self.file("")
        self.run(self.command, "quantize", model, out, *options)
        return out

    def converted(self, model, *options):
        out = self.file(".gguf")
        self.run(self.command, "convert", model, out, "--to", "gguf", *options)
        return out

    def dequantized(self, path):
        out = self.file(".gguf")
        self.run(self.program, "dequantize", path, out)
        return out

    def ids(self, model, texts):
        lines = self.run(self.program, "ids", model, input="".join(text.encode().hex() + "\n" for text in texts))
        return [list(map(int, line.split())) for line in lines.splitlines()]

    def continued(self, model, prompts):
        """Ids [prompt][step] and the logits that they were chosen by."""
        out = self.file(".logits")
        lines = "".join(" ".join(map(str, prompt)) + "\n" for prompt in prompts)
        lines = self.run(self.program, "greedy", model, STEPS, out, input=lines)
        ids = [list(map(int, line.split())) for line in lines.splitlines()]
        return ids, np.fromfile(out, np.float32).reshape(len(prompts), STEPS, -1)


class llama:
    """llama.cpp with a file."""

    def __init__(self, path, vocab_only=False):
        self.model = llama_cpp.Llama(str(path), n_ctx=256, vocab_only=vocab_only, logits_all=not vocab_only,
                                     type_k=F32, type_v=F32, n_threads=1, verbose=False)  # fmt: skip

    def ids(self, text, special=True):
        return self.model.tokenize(text.encode(), add_bos=False, special=special)

    def begun(self, text):
        return self.model.tokenize(text.encode(), add_bos=True, special=True)

    def logits(self, prompt, ids):
        """The logits that each of the ids is chosen by."""
        self.model.reset()
        self.model.eval(prompt)
        rows = [self.model.scores[len(prompt) - 1].copy()]
        for id in ids[:-1]:
            self.model.eval([id])
            rows.append(self.model.scores[self.model.n_tokens - 1].copy())
        return np.array(rows)

    def continued(self, prompt):
        self.model.reset()
        self.model.eval(prompt)
        ids = []
        while len(ids) < STEPS:
            ids.append(int(self.model.scores[self.model.n_tokens - 1].argmax()))
            self.model.eval(ids[-1:])
        return ids


def margins(logits):
    best = np.sort(logits, axis=-1)
    return best[..., -1] - best[..., -2]


def first_difference(a, b):
    return next((step for step, (x, y) in enumerate(zip(a, b)) if x != y), None)


def same_floats(path, floats_path):
    """Whether gguf's reader sees in one file the weights that the other has as floats."""
    floats = {tensor.name: tensor for tensor in gguf.GGUFReader(floats_path).tensors}
    return all(
        np.array_equal(dequantize(t.data, t.tensor_type).ravel(), floats[t.name].data.ravel())
        for t in gguf.GGUFReader(path).tensors
    )


def continuations(name, ours, theirs, prompts, tolerance):
    """Greedy tokens of a run whose logits differ by the tolerance at most: the same up to the first choice that was
    closer than two of that."""
    ids, logits = ours
    same = 0
    for prompt, mine, choice in zip(prompts, ids, margins(logits)):
        step = first_difference(mine, theirs.continued(prompt))
        same += step is None
        if step is not None:
            yield f"{name}: token {step} of a continuation, where {choice[step]:.2g} decides", choice[step] <= 2 * tolerance
    print(f"    {name}: {same} of {len(prompts)} continuations of {STEPS} tokens are the same")
    yield f"{name}: some continuations are the same", same > 0


def float_model(e):
    """The embedded model. llama.cpp rounds activations to f16 where weights are."""
    texts = ["", "Hello, world!\n", "O'er 12,345 moons: 'tis 6.78%\r\n\t  end ", "Größe 日本語 🙂 \u00a0", "a" * 100]
    for floats, unit in (("f32", 1e-5), ("f16", 2**-11)):
        path = e.converted(BARD, "--floats", floats)
        theirs = llama(path)
        prompts = [theirs.begun(prompt) for prompt in PROMPTS]
        yield f"{floats}: prompts begin with BOS", prompts == [[0, *prompt.encode()] for prompt in PROMPTS]
        yield f"{floats}: ids", [theirs.ids(text) for text in texts] == e.ids(BARD, texts)
        ids, logits = e.continued(BARD, prompts)
        tolerance = unit * np.abs(logits).max()
        error = max(np.abs(theirs.logits(p, i) - l).max() for p, i, l in zip(prompts, ids, logits))
        yield f"{floats}: logits differ by {error:.2g}, tolerance {tolerance:.2g}", error <= tolerance
        yield from continuations(floats, (ids, logits), theirs, prompts, tolerance)


def types_of(path):
    tensors = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    return {name: kind for name, kind in tensors.items() if name.startswith("blk.") and kind != "F32"}


def quantized_models(e):
    for name, how, options, types in QUANTIZED:
        folder = e.quantized(BARD, *how)
        path = e.converted(folder, *options)
        floats_path = e.dequantized(path)
        yield f"{name}: types", set(types_of(path).values()) == types
        yield f"{name}: gguf reads the same weights", same_floats(path, floats_path)
        theirs, exact = llama(path), llama(floats_path)
        prompts = [theirs.begun(prompt) for prompt in PROMPTS]
        ids, logits = e.continued(folder, prompts)
        exact_logits = np.array([exact.logits(p, i) for p, i in zip(prompts, ids)])
        noise = np.abs(np.array([theirs.logits(p, i) for p, i in zip(prompts, ids)]) - exact_logits).max()
        # Small errors add up linearly. The largest of each kind is at another place: hence the factor.
        tolerance = 4 * noise / 257 + 1e-5 * np.abs(logits).max()
        error = np.abs(exact_logits - logits).max()
        yield f"{name}: logits differ by {error:.2g}, tolerance {tolerance:.2g}", error <= tolerance
        yield from continuations(f"{name}, as floats", (ids, logits), exact, prompts, tolerance)
        yield from continuations(name, (ids, logits), theirs, prompts, noise + tolerance)


def act_order(e):
    """Groups that no block follows, but for those of the down projections, whose inputs may have any order."""
    folder = e.quantized(BARD, "--bits=4", "--group-size=32", "--order=act", "--samples=8", "--context=128")
    try:
        e.converted(folder)
        yield "act-order: refused", False
    except RuntimeError as refusal:
        yield "act-order: refused", "self_attn.q_proj" in str(refusal) and "--requantize" in str(refusal)
    path = e.converted(folder, "--requantize")
    for name, kind in types_of(path).items():
        yield f"act-order: {name} is {kind}", kind == ("Q4_0" if "ffn_down" in name else "Q8_0")
    rounded, unquantized = llama(e.dequantized(path)), llama(e.converted(BARD, "--floats", "f32"))
    prompts = [rounded.begun(prompt) for prompt in PROMPTS]
    ids, logits = e.continued(folder, prompts)

    def distance(model):
        return np.std([model.logits(p, i) - l for p, i, l in zip(prompts, ids, logits)])

    # It adds a tenth to the noise power of quantization at most.
    yield "act-order: rounding anew moves logits less than quantization did", distance(rounded) < 0.5 * distance(unquantized)


def networks(e):
    """Random weights: what the embedded model does not have."""
    tokenizer, size = make.byte_level_json([{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}], merges=0)
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}  # fmt: skip
    cases = {
        "a head of its own": {},
        "a tied head": {"tied": True},
        "heads of another size": {"head_dim": 32},
        "biases": {"biases": True},
        "theta of 500000": {"rope": {"rope_theta": 500000.0}},
        "linear scaling": {"rope": {"rope_scaling": {"type": "linear", "factor": 3.0}}},
        "Llama 3's scaling": {"rope": {"rope_theta": 500000.0, "rope_scaling": scaling}},
    }
    for name, options in cases.items():
        folder = make.write_folder(e.file(""), {"tokenizer.json": tokenizer}, tokens=size, **options)
        theirs = llama(e.converted(folder, "--floats", "f32"))
        prompts = [[1, *(3 + (7 * i * i + 3) % (size - 3) for i in range(100))]]  # far enough for every frequency to turn
        ids, logits = e.continued(folder, prompts)
        tolerance = 1e-4 * np.abs(logits).max()  # theirs multiplies its angles up, one position after the other
        error = np.abs(theirs.logits(prompts[0], ids[0]) - logits[0]).max()
        yield f"{name}: logits differ by {error:.2g}, tolerance {tolerance:.2g}", error <= tolerance


FRAGMENTS = [" ", " unmade", "  ", "    ", "\n", "\n\n", "\r\n", "\t", "a", "I", "the", " the", "The", "'s", "'LL", "'re", "don't", "1",
             "23", "456", "7890", "12345678", ".", ",", "...", "!?", "---", "()", "[]", "{x}", "#", "$", "+=", "é", "ß", "Ö",
             "ñ", "Ελλ", "Рус", "日本", "語", "한국", "हिन्दी", "🙂", "🙃", "½", "²", "٣", "\u00a0", "\u3000", "\u2003", "_", "@",
             "https://x.yz/?a=1&b=2", "\u0301", "ﬁ", "Ǆ", "\u200b"]  # fmt: skip


def texts(special):
    chosen = random.Random(3)
    yield from ("", " ", "Hello, world!", " leading", "trailing ", make.CORPUS, "I'Ve 'tis IT'S they'LL", "x\n\n\ny \n z")
    for _ in range(400):
        yield "".join(chosen.choices(FRAGMENTS + special, k=chosen.randint(1, 12)))


def tokenizers(e):
    def split(pattern):
        return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}

    def level(use_regex):
        return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}

    def words(numbers):
        return split(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + numbers +
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )  # fmt: skip

    prepend, replace = {"type": "Prepend", "prepend": make.SPACE}, {
        "type": "Replace", "pattern": {"String": " "}, "content": make.SPACE,
    }  # fmt: skip
    metaspace = {"type": "Metaspace", "replacement": make.SPACE, "prepend_scheme": "never", "split": False}
    kinds = {
        "Llama 3": make.byte_level_json([words(r"\p{N}{1,3}"), level(False)], ignore_merges=True),
        "Llama 3 without whole words": make.byte_level_json([words(r"\p{N}{1,3}"), level(False)]),
        "Qwen 2": make.byte_level_json([words(r"\p{N}"), level(False)]),
        "GPT-2": make.byte_level_json([level(True)]),
        "SmolLM": make.byte_level_json([{"type": "Digits", "individual_digits": True}, level(True)]),
        "Llama 2": make.sentencepiece_json({"type": "Sequence", "normalizers": [prepend, replace]}, None),
        "without a space in front": make.sentencepiece_json(replace, None),
        "Metaspace": make.sentencepiece_json(None, metaspace),
    }
    for name, (file, size) in kinds.items():
        folder = make.write_folder(e.file(""), {"tokenizer.json": file}, tokens=size, layers=1)
        # Of special tokens, those that all kinds have.
        some = list(texts(["<tool>", "</s>" if "</s>" in file else "<|eot|>"]))
        yield from same_ids(name, e.ids(folder, some), llama(e.converted(folder), vocab_only=True), some, True)

    some = list(texts([]))
    score_file, size = make.llama2c_bin()
    scores = make.write_folder(e.file(""), {"tokenizer.bin": score_file}, tokens=size, layers=1)
    ids = e.ids(scores, some)
    yield from same_ids("llama2.c", ids, llama(e.converted(scores), vocab_only=True), some, False)
    # Our engine does not read it; it is the same tokenizer.
    model = make.write_folder(e.file(""), {"tokenizer.model": make.sentencepiece_model()[0]}, tokens=size, layers=1)
    yield from same_ids("SentencePiece", ids, llama(e.converted(model), vocab_only=True), some, False)


def same_ids(name, ours, theirs, texts, special):
    for text, ids in zip(texts, ours):
        found = theirs.ids(text, special)
        yield f"{name}: {text!r}: {ids} here, {found} there", ids == found


def main():
    with tempfile.TemporaryDirectory() as name:
        e = engine(sys.argv[1], sys.argv[2], pathlib.Path(name))
        checks = [float_model, quantized_models, act_order, networks, tokenizers]
        print("llama-cpp-python", llama_cpp.__version__)
        return report(itertools.chain.from_iterable(check(e) for check in checks))


if __name__ == "__main__":
    sys.exit(main())
