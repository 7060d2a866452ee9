"""Notes what each step of a real engine is, so that what it took stands beside what was told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.graph.batch import Batch
from foreknown.plan.price import Price, StepShape
from foreknown.report.phase_times import step_shape

DECODE, MIXED = (1, 2, 4, 8, 16, 64), (8, 64, 256, 4096)
"""Rows, and tokens, up to which steps are counted together."""


class NotedSteps:
    """A program that is another one, and remembers the shapes of its steps."""

    def __init__(self, program: Any) -> None:
        self._program = program
        self.shapes: list[StepShape] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._program, name)

    def step(self, batch: Batch) -> NDArray[np.float32]:
        self.shapes.append(step_shape(batch))
        logits: NDArray[np.float32] = self._program.step(batch)
        return logits


def by_kind(
    shapes: Sequence[StepShape], took_s: Sequence[float], price: Price
) -> list[dict[str, Any]]:
    """What steps of each kind took together, and what was told of them."""
    kinds: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for shape, seconds in zip(shapes, took_s, strict=True):
        is_decode = shape.rows == shape.tokens
        bounds, size = (DECODE, shape.rows) if is_decode else (MIXED, shape.tokens)
        bound = next((b for b in bounds if size <= b), size)
        key = "decode, up to rows" if is_decode else "with prompts, up to tokens", bound
        kinds.setdefault(key, []).append((price.seconds(shape), seconds))
    rows = []
    for (name, bound), pairs in sorted(kinds.items()):
        told_s, sum_s = (sum(side) for side in zip(*pairs, strict=True))
        rows.append(
            {
                "steps": f"{name} {bound}",
                "n": len(pairs),
                "told_s": round(told_s, 4),
                "took_s": round(sum_s, 4),
                "ratio": round(told_s / sum_s, 4),
            }
        )
    return rows
