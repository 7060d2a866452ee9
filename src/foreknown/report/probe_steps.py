"""Steps that calibration runs of its probes: their shapes, and batches that have them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.plan.price import StepShape, decode_shape, prompt_shape
from foreknown.targets.cpu.probes import CONTEXT, VOCABULARY

PROMPTS = (16, 32, 64, 128, 256, 512)
"""Tokens of prompts."""
BATCHES = (1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 17)
CONTEXTS = (41, 713)
LONG = ((1, 2505), (4, 1993))
"""(batch, context) of decode steps beside those of all batches in both contexts."""
LONG_TOKENS = 384
"""Steps of so many tokens compute; they are run cold only."""
SETS = tuple(size << 20 for size in (12, 16, 20, 24, 28, 32, 40, 48, 64))
"""Bytes that steps read again and again, a part of them from a last cache."""
SET_BATCH = 12
_NO_IDS = np.zeros(0, np.int32)
NOTHING = Batch(_NO_IDS, _NO_IDS, _NO_IDS, np.zeros((0, 0), np.int32), _NO_IDS)
"""No tokens."""


@dataclass(frozen=True)
class ProbeStep:
    """One shape of a step."""

    shape: StepShape
    batch: Batch

    @property
    def is_long(self) -> bool:
        """Whether it computes so much that where its weights come from does not matter."""
        return self.shape.tokens >= LONG_TOKENS


def probe_steps() -> list[ProbeStep]:
    """Every shape that is measured."""
    pairs = [(b, c) for c in CONTEXTS for b in BATCHES]
    steps = [ProbeStep(decode_shape(b, c), _decode(b, c)) for b, c in (*pairs, *LONG)]
    return steps + [ProbeStep(prompt_shape(0, n, 1), _prompt(n)) for n in PROMPTS]


def set_steps(weights_bytes: int, position_bytes: float) -> list[ProbeStep]:
    """Decode steps that read `SETS`, as far as the probes' context goes."""
    contexts = [int((size - weights_bytes) / position_bytes / SET_BATCH) for size in SETS]
    return [
        ProbeStep(decode_shape(SET_BATCH, context), _decode(SET_BATCH, context))
        for context in contexts
        if 0 < context <= CONTEXT
    ]


def most_blocks(weights_bytes: int, position_bytes: float) -> int:
    """Blocks of state that the largest step takes."""
    steps = probe_steps() + set_steps(weights_bytes, position_bytes)
    return max(step.batch.block_tables.size for step in steps)


def _decode(batch: int, context: int) -> Batch:
    blocks = -(-context // BLOCK_TOKENS)
    random = np.random.default_rng(blocks)  # blocks lie anywhere, those of more sequences elsewhere
    tables = [row * blocks + random.permutation(blocks) for row in range(batch)]
    return Batch(
        tokens=np.arange(batch, dtype=np.int32) * 97 % VOCABULARY,
        positions=np.full(batch, context - 1, np.int32),
        sequence=np.arange(batch, dtype=np.int32),
        block_tables=np.asarray(tables, np.int32),
        rows=np.arange(batch, dtype=np.int32),
    )


def _prompt(n_tokens: int) -> Batch:
    blocks = -(-n_tokens // BLOCK_TOKENS)
    return Batch(
        tokens=np.arange(n_tokens, dtype=np.int32) * 97 % VOCABULARY,
        positions=np.arange(n_tokens, dtype=np.int32),
        sequence=np.zeros(n_tokens, np.int32),
        block_tables=np.arange(blocks, dtype=np.int32)[None],
        rows=np.asarray([n_tokens - 1], np.int32),
    )
