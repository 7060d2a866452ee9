"""Which types of model are captured exactly: a tiny checkpoint of each, run and compared.

Every type goes the whole way: checkpoint → graph → an executor given by the caller → logits, in
three ways (a prompt and then token by token; two sequences mixed in one batch), against
transformers in eager f32. Knows nothing of what executes the graph.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.capture import Captured, capture
from foreknown.capture.reference import eager_logits
from foreknown.capture.tiny import make_tiny_checkpoint, plain_tokens
from foreknown.errors import ForeknownError
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.graph.interpret import run
from foreknown.graph.state import State

TOLERANCE = 1e-4  # of the largest logit: f32 in another order of additions stays far below
PROMPT_TOKENS, DECODED_TOKENS = 24, 8
CHUNKS = (7, 6, 6)  # of the second sequence's prompt, each beside one token of the first

Array = NDArray[Any]
Step = Callable[[Batch], Array]
Executor = Callable[[Captured, int], Step]
"""Prepares a captured model for a number of blocks; what it gives runs one step after another."""


@dataclass(frozen=True)
class Coverage:
    """What became of one type.

    Attributes:
        status: exact, refused or wrong.
        max_abs_err: the largest difference of a logit; None if refused.
        reason: of a refusal, the operation and source line; of a wrong result, where it differs.
    """

    model_type: str
    status: str
    max_abs_err: float | None
    seconds: float
    reason: str


def interpreted(captured: Captured, n_blocks: int) -> Step:
    """The executor that defines what every operation means."""
    weights: dict[str, Array] = {}
    state = State(n_blocks)

    def weight(name: str) -> Array:
        if name not in weights:
            weights[name] = captured.weights.read(name)
        return weights[name]

    return lambda batch: run(captured.graph, batch, weight, state)["logits"]


def cover(model_type: str, execute: Executor = interpreted, seed: int = 0) -> Coverage:
    """Capture, run and compare one type."""
    with tempfile.TemporaryDirectory() as directory:
        started = time.monotonic()
        try:
            make_tiny_checkpoint(model_type, directory, seed)
        except ForeknownError as error:
            return Coverage(model_type, "refused", None, time.monotonic() - started, reason(error))
        return cover_checkpoint(model_type, directory, execute)


def cover_checkpoint(
    model_type: str, directory: str | Path, execute: Executor = interpreted
) -> Coverage:
    """As `cover`, of a checkpoint on disk that knows the tiny checkpoints' plain tokens."""
    started = time.monotonic()
    first = plain_tokens(PROMPT_TOKENS + DECODED_TOKENS, seed=3)
    second = plain_tokens(sum(CHUNKS), seed=4)
    try:
        captured = capture(directory)
        found = _run(captured, execute, first, second)
    except ForeknownError as error:
        return Coverage(model_type, "refused", None, time.monotonic() - started, reason(error))
    expected = eager_logits(directory, [first, second])
    expected.insert(1, expected[0])
    status, worst, why = "exact", 0.0, ""
    for name, a, b in zip(("alone", "mixed", "second"), found, expected, strict=True):
        if a.shape != b.shape:
            return Coverage(model_type, "wrong", None, 0, f"{name}: {a.shape} for {b.shape}")
        difference = np.abs(a.astype(np.float64) - b)
        largest = float(np.abs(b).max())
        worst = max(worst, float(difference.max()))
        if not difference.max() <= TOLERANCE * largest:
            status = "wrong"
            row = int(difference.max(axis=1).argmax())
            bad = int((difference.max(axis=1) > TOLERANCE * largest).argmax())
            why = (
                why
                or f"{name}: differs by {difference.max() / largest:.1e} at token {row}, from {bad}"
            )
        elif not _same_choices(a, b):
            status, why = "wrong", why or f"{name}: another greedy token"
    return Coverage(model_type, status, worst, time.monotonic() - started, why)


def _same_choices(found: Array, expected: Array) -> bool:
    """Whether the same tokens are likeliest; of two within rounding of each other, either."""
    chosen = np.take_along_axis(expected, found.argmax(axis=1)[:, None], axis=1)[:, 0]
    return bool((chosen >= expected.max(axis=1) - 1e-6 * np.abs(expected).max()).all())


def _run(
    captured: Captured, execute: Executor, first: Sequence[int], second: Sequence[int]
) -> tuple[Array, Array, Array]:
    """Logits of the first sequence alone, of the first and of the second in mixed batches."""
    blocks = -(-len(first) // BLOCK_TOKENS)
    # Blocks in no order, so that a table that is not followed shows.
    tables = np.asarray([[2 * i + 1 for i in range(blocks)], [2 * i for i in range(blocks)]])
    step = execute(captured, 2 * blocks)
    alone = [step(_batch(tables, [(1, first, 0, PROMPT_TOKENS)]))]
    for i in range(PROMPT_TOKENS, len(first)):
        alone.append(step(_batch(tables, [(1, first, i, i + 1)])))
    step = execute(captured, 2 * blocks)
    mixed = [step(_batch(tables, [(0, first, 0, PROMPT_TOKENS)]))]
    other: list[Array] = []
    at, start = PROMPT_TOKENS, 0
    for length in CHUNKS:
        parts = [(1, second, start, start + length), (0, first, at, at + 1)]
        logits = step(_batch(tables, parts if at % 2 else parts[::-1]))
        split = length if at % 2 else 1
        a, b = logits[:split], logits[split:]
        other.append(a if at % 2 else b)
        mixed.append(b if at % 2 else a)
        at, start = at + 1, start + length
    for i in range(at, len(first)):
        mixed.append(step(_batch(tables, [(0, first, i, i + 1)])))
    return np.concatenate(alone), np.concatenate(mixed), np.concatenate(other)


def _batch(tables: Array, parts: Sequence[tuple[int, Sequence[int], int, int]]) -> Batch:
    """Parts are (sequence, its tokens, from, to); all rows are wanted."""
    tokens = [t for _, ids, a, b in parts for t in ids[a:b]]
    return Batch(
        tokens=np.asarray(tokens, np.int32),
        positions=np.concatenate([np.arange(a, b, dtype=np.int32) for _, _, a, b in parts]),
        sequence=np.concatenate([np.full(b - a, s, np.int32) for s, _, a, b in parts]),
        block_tables=tables.astype(np.int32),
        rows=np.arange(len(tokens), dtype=np.int32),
    )


def reason(error: ForeknownError) -> str:
    return f"{error.what} ({error.where})" if error.where else error.what


# --- many types -----------------------------------------------------------------------------------


def cover_all(
    model_types: Sequence[str], command: Sequence[str], jobs: int = 1, timeout_s: float = 300
) -> Iterator[Coverage]:
    """Cover each type in a process of its own, in order.

    Args:
        command: what, with a type appended, prints that type's `Coverage` as a line of JSON.
        jobs: processes at a time.
        timeout_s: after which a type counts as refused.
    """
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda t: _apart(t, command, timeout_s), model_types)


def _apart(model_type: str, command: Sequence[str], timeout_s: float) -> Coverage:
    started = time.monotonic()
    try:
        done = subprocess.run(
            [*command, model_type], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Coverage(model_type, "refused", None, timeout_s, f"not done in {timeout_s:.0f} s")
    lines = done.stdout.strip().splitlines()
    try:
        return Coverage(**json.loads(lines[-1]))
    except (ValueError, IndexError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        seconds = time.monotonic() - started
        return Coverage(model_type, "refused", None, seconds, f"stopped with: {last[:300]}")


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    print(json.dumps(asdict(cover(sys.argv[1]))))
