"""Law 3 where attention goes over several spans: bits do not depend on chunks, nor on whether a
thread goes over all spans of a head or threads share them out.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from foreknown.graph.batch import Batch
from foreknown.passes.lower_bits import StateFormat
from foreknown.passes.pipeline import Formats, optimise
from foreknown.plan.plan import Limits
from tests.decoders import VOCABULARY, decoder
from tests.executors import Array, Compiled, assert_same_bits, compiled, interpreter, random_weights

TOKENS, CONTEXT = 2200, 2304  # two whole spans of 1,024 and a part of a third
TEXT = np.random.default_rng(7).integers(0, VOCABULARY, TOKENS).astype(np.int32)
ALONE = 4
"""Tokens at the end that are run one by one: fewer (token, group) pairs than threads."""
KEPT: tuple[StateFormat, ...] = ("f32", "bf16", "int8")


@cache
def program_of(kept: StateFormat) -> Compiled:
    graph = decoder("aw", wide=True, context=CONTEXT, name=f"long-{kept}")
    lowered = optimise(graph, context=CONTEXT, formats=Formats(state=kept))
    return compiled(lowered, random_weights(graph, seed=1), Limits(CONTEXT, 512, 64))


def steps(chunk: int) -> list[Batch]:
    """The text in chunks, its last tokens alone; logits of each step's last tokens."""
    starts = [*range(0, TOKENS - ALONE, chunk), *range(TOKENS - ALONE, TOKENS)]
    table = np.random.default_rng(3).permutation(CONTEXT // 16).astype(np.int32)[None]
    found = []
    for start, end in zip(starts, [*starts[1:], TOKENS], strict=True):
        n = min(end, start + chunk) - start
        positions = np.arange(start, start + n, dtype=np.int32)
        rows = np.arange(max(0, n - ALONE), n, dtype=np.int32)
        found.append(Batch(TEXT[start : start + n], positions, positions * 0, table, rows))
    return found


def last_logits(kept: StateFormat, chunk: int, n_threads: int) -> Array:
    """Of the tokens that are run one by one."""
    with program_of(kept).program(n_blocks=CONTEXT // 16, n_threads=n_threads) as program:
        results = [program.step(step).copy() for step in steps(chunk)]
    return np.concatenate(results[-ALONE:])


@pytest.mark.parametrize("kept", KEPT)
def test_threads_and_chunks_leave_no_trace(kept: StateFormat) -> None:
    expected = last_logits(kept, 512, 1)
    for chunk, n_threads in ((512, 2), (100, 5), (333, 3)):
        assert_same_bits(last_logits(kept, chunk, n_threads), expected)


@pytest.mark.parametrize("kept", KEPT)
def test_spans_joined_mean_what_the_interpreter_means(kept: StateFormat) -> None:
    """2e-4 of the largest logit, and for codes 2 %: see test_law_3_bits_are_fixed."""
    graph = program_of(kept).graph
    results = interpreter(graph, random_weights(graph, seed=1), steps(512))
    expected = np.concatenate([r["logits"] for r in results[-ALONE:]])
    tolerance = (2e-2 if kept == "int8" else 2e-4) * np.abs(expected).max()
    np.testing.assert_allclose(last_logits(kept, 512, 2), expected, rtol=0, atol=tolerance)
