"""What a grammar costs a token: mask, step of the grammar and native masking, as a share of a step.

    mask.py [--tokenizer DIRECTORY] [--vocabulary N] [--step-ms MS] [--json]

Answers are drawn from random logits within a few grammars. For each token three things are timed:

    allowed    which tokens may come next
    accept     the token is taken
    masking    what choosing a token takes longer with the mask than without

Without a tokenizer, one of random bytes is made. Medians over all tokens, and the 99th percentile
of the sum: a stretched token gap is what a caller sees.
"""

from __future__ import annotations

import argparse
import json
import string
import subprocess
import sys
import tempfile
import time
from ctypes import CDLL
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from tokenizers.decoders import ByteLevel
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel as Splitter

import foreknown.targets.cpu
from foreknown.checkpoint.tokenizer import Tokenizer, open_tokenizer
from foreknown.engine import SamplingParams
from foreknown.engine.native_sampling import RowSampling, Sampler
from foreknown.server.constraints import ConstraintCompiler, GrammarConstraint

ANSWERS, LONGEST = 20, 200
"""Answers of each grammar, and tokens of one."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 60},
        "born": {"type": "string", "format": "date"},
        "score": {"type": "number", "minimum": 0, "maximum": 100},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 8},
        "notes": {"type": "array", "items": {"type": "string"}, "minItems": 3},
        "parts": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["name", "born", "score", "tags", "notes"],
    "additionalProperties": False,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokenizer", type=Path, help="a directory with a tokenizer.json")
    parser.add_argument("--vocabulary", type=int, default=128_256, help="logits of a row")
    parser.add_argument("--step-ms", type=float, default=20.0, help="what a step takes")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    tokenizer = (
        open_tokenizer(asked.tokenizer) if asked.tokenizer else random_tokenizer(asked.vocabulary)
    )
    vocabulary = max(asked.vocabulary, tokenizer.vocab_size)
    end = tokenizer.eos_token_id
    compiler = ConstraintCompiler(tokenizer, vocabulary, [] if end is None else [end])
    started = time.perf_counter()
    compiler.json_object()
    ready_ms = (time.perf_counter() - started) * 1e3
    makers = {
        "json_object": compiler.json_object,
        "json_schema": lambda: compiler.json_schema(SCHEMA),
        "regex": lambda: compiler.regex(r"(\w+ ){50,}"),
        "choice": lambda: compiler.choice([f"option number {i}" for i in range(500)]),
    }
    sampler = Sampler(build_sampler(), vocabulary, 1)
    rows = []
    for name, make in makers.items():
        started = time.perf_counter()
        make()
        compile_ms = (time.perf_counter() - started) * 1e3
        taken = np.concatenate([answer(make(), sampler, vocabulary, i) for i in range(ANSWERS)])
        allowed, accept, masking = np.median(taken, axis=0)
        sums = taken.sum(axis=1)
        rows.append({
            "grammar": name, "tokens": len(taken), "compile_ms": compile_ms,
            "allowed_us": allowed, "accept_us": accept, "masking_us": masking,
            "median_us": float(np.median(sums)), "p99_us": float(np.quantile(sums, 0.99)),
            "share_of_step": float(sums.mean()) / (asked.step_ms * 1e3),
        })  # fmt: skip
    if asked.json:
        print(json.dumps({"vocabulary": vocabulary, "step_ms": asked.step_ms,
                          "first_grammar_ms": ready_ms, "grammars": rows}))  # fmt: skip
        return 0
    print(f"{vocabulary} logits; the first grammar took {ready_ms:.0f} ms")
    print(f"{'grammar':<12}{'tokens':>7}{'compile':>10}{'allowed':>9}{'accept':>8}{'masking':>9}"
          f"{'median':>8}{'p99':>8}  share of {asked.step_ms:g} ms")  # fmt: skip
    for row in rows:
        print("{grammar:<12}{tokens:>7}{compile_ms:>7.1f} ms{allowed_us:>9.1f}{accept_us:>8.1f}"
              "{masking_us:>9.1f}{median_us:>8.1f}{p99_us:>8.1f}  {share_of_step:.2%}"
              .format(**row))  # fmt: skip
    return 0


def answer(
    constraint: GrammarConstraint, sampler: Sampler, vocabulary: int, seed: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """f64[tokens, 3]: microseconds of allowed, accept and masking, for each token of an answer."""
    logits = np.random.default_rng(seed).normal(0, 3, (1, vocabulary)).astype(np.float32)
    row = RowSampling(SamplingParams(), seed, (), np.zeros(1, np.int32), LONGEST)
    clock = time.perf_counter
    taken = []
    for position in range(LONGEST):
        row.allow(None)
        begun = clock()
        sampler.sample(logits, [row], [position])
        free = clock()
        mask = constraint.allowed()
        known = clock()
        row.allow(mask)
        (token,) = sampler.sample(logits, [row], [position])
        chosen = clock()
        if token < 0:
            raise SystemExit("a grammar came to no end")
        constraint.accept(token)
        accepted = clock()
        taken.append((known - free, accepted - chosen, (chosen - known) - (free - begun)))
        if constraint.complete:
            break
    return np.array(taken) * 1e6


def random_tokenizer(vocabulary: int) -> Tokenizer:
    """A byte-level tokenizer of random merges, its last token being the end of an answer."""
    from foreknown.checkpoint.special_tokens import SpecialTokens

    random = np.random.default_rng(0)
    alphabet = sorted(Splitter.alphabet())
    tokens = {character: i for i, character in enumerate(alphabet)}
    every, merges = list(tokens), []
    # Pieces of what texts are made of, and of anything: most tokens are words, some are not.
    likely = [*string.ascii_lowercase, "Ġ", *string.digits, *',":{}[]']
    while len(tokens) < vocabulary - 1:
        pieces = every if random.random() < 0.9 else likely
        left, right = (pieces[random.integers(len(pieces))] for _ in range(2))
        if len(left + right) <= 12 and left + right not in tokens:
            tokens[left + right] = len(tokens)
            every.append(left + right)
            merges.append((left, right))
    backend = Backend(BPE(tokens, merges))
    backend.pre_tokenizer, backend.decoder = Splitter(add_prefix_space=False), ByteLevel()
    backend.add_special_tokens([AddedToken("<end>", special=True)])
    return Tokenizer(backend, SpecialTokens({"eos_token": "<end>"}, (), (), {}, {}))


def build_sampler() -> CDLL:
    """The runtime's sampler, built for this machine."""
    source = Path(foreknown.targets.cpu.__file__).parent / "runtime" / "sample.c"
    library = Path(tempfile.mkdtemp()) / "sampler.so"
    flags = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared")
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *flags, "-o", library, source], check=True
    )
    return CDLL(str(library))


if __name__ == "__main__":
    sys.exit(main())
