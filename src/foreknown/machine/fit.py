"""From what phases of probes took to what kernels take: least squares of relative errors.

No cost is below zero (Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23), so
that shapes which nobody measured get a price that makes sense. Each measurement counts the same,
however long it took, and one that is far off its neighbours counts little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreknown.machine.kernel_costs import (
    HALF_BLOCK,
    MANY_ROWS,
    AttentionCosts,
    Line,
    ProductTable,
    RowCosts,
    attention_features,
    padded_outputs,
)
from foreknown.machine.kernels import ROW_KINDS, Attention, Kernel, Product, Rows

Array = NDArray[np.float64]
ROUNDS = 6
"""Of weighing anew."""
MOST_ADDED = 1.08
LEAST_SCALE = 0.02
"""Relative errors below this are no reason to doubt a measurement."""


@dataclass(frozen=True)
class Seen:
    """What a phase of a probe took.

    Attributes:
        kernels: of the phase.
        tokens: T of the step, or R if the phase runs over selected rows.
        alone: whether the step had a lone token, whose row phases each thread runs for itself.
        attended: positions attended to, summed over the tokens.
        kept: positions kept, summed over the sequences.
        cold: whether everything came from memory, or from the last cache.
        seconds: of the phase.
    """

    kernels: tuple[Kernel, ...]
    tokens: int
    alone: bool
    attended: float
    kept: float
    cold: bool
    seconds: float


@dataclass(frozen=True)
class SeenSet:
    """What attention took in a decode step that was run again and again.

    Attributes:
        working_set_bytes: that the step reads.
        kernels: of its attention.
        tokens: of the step.
        kept: positions attended to and kept, summed over the sequences.
        seconds: of all its attention.
    """

    working_set_bytes: int
    kernels: tuple[Attention, ...]
    tokens: int
    kept: float
    seconds: float


def not_negative(a: Array, b: Array) -> Array:
    """The x >= 0 with the least squares of a x - b."""
    n = a.shape[1]
    x, free = np.zeros(n), np.zeros(n, bool)
    for _ in range(4 * n):
        gradient = a.T @ (b - a @ x)
        gradient[free] = -np.inf
        best = int(np.argmax(gradient))
        if gradient[best] <= 1e-10:
            break
        free[best] = True
        while True:
            trial = np.zeros(n)
            trial[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            wrong = free & (trial <= 0)
            if not wrong.any():
                x = trial
                break
            step = np.min(x[wrong] / np.maximum(x[wrong] - trial[wrong], 1e-300))
            x = x + step * (trial - x)
            free &= x > 1e-12
            x[~free] = 0.0
    return x


def fitted(
    features: Sequence[Sequence[float]] | Array,
    seconds: Sequence[float],
    known: Array | float = 0.0,
) -> Array:
    """Costs of features, none below zero, by relative errors; outliers count little.

    Args:
        known: seconds of each measurement that other costs explain.
    """
    a, b = np.asarray(features, float), np.asarray(seconds, float)
    a, rest = a / b[:, None], 1 - known / b
    scale = np.maximum(np.abs(a).max(0), 1e-300)
    a = a / scale
    weight = np.ones(len(b))
    x = np.zeros(a.shape[1])
    for _ in range(ROUNDS):
        x = not_negative(a * weight[:, None], rest * weight)
        errors = np.abs(a @ x - rest)
        typical = max(float(np.median(errors)), LEAST_SCALE)
        weight = np.sqrt(1 / np.maximum(errors / typical, 1.0))
    # what disturbs makes slower, never faster: all in all, as much time as was taken
    total = float((a @ x * b).sum())
    share = float((rest * b).sum()) / total if total > 0 else 1.0
    found: Array = x / scale * min(max(share, 1.0), MOST_ADDED)
    return found


def fit_products(seen: Sequence[Seen], weights: str, threads: int) -> ProductTable:
    """A format's table, over all tokens that were measured: what cached steps took tells all but
    what memory adds, which is told by the others. Where all was cold, what a start takes more is
    taken to be that of the most tokens that were run both ways."""
    own = [
        (one, kernel)
        for one in seen
        for kernel in one.kernels
        if isinstance(kernel, Product) and kernel.weights == weights and len(one.kernels) == 1
    ]

    def measured(tokens: int, *, cold: bool) -> tuple[Array, list[float]]:
        here = [(one, k) for one, k in own if (one.tokens, one.cold) == (tokens, cold)]
        outputs = np.asarray([padded_outputs(kernel, threads) for _, kernel in here])
        widths = np.asarray([kernel.width for _, kernel in here])
        features = np.stack([outputs * widths, outputs, np.ones(len(here))], -1)
        return features, [one.seconds for one, _ in here]

    columns, more = [], 0.0
    all_tokens = sorted({one.tokens for one, _ in own})
    for tokens in all_tokens:
        features, seconds = measured(tokens, cold=True)
        cached_features, cached_seconds = measured(tokens, cold=False)
        if cached_seconds:
            cached, output, start = fitted(cached_features, cached_seconds)
            known = features[:, 1:] @ (output, start)
            streamed, more = fitted(features[:, [0, 2]], seconds, known)
        else:
            cached, output, start = fitted(features, seconds, more)
            streamed = cached
        columns.append((max(streamed, cached), cached, output, start, more))
    streamed_s, cached_s, output_s, start_s, more_s = np.asarray(columns).T
    return ProductTable(
        weights,
        tuple(all_tokens),
        _column(streamed_s, 1e12),
        _column(cached_s, 1e12),
        _column(output_s, 1e9),
        _column(start_s, 1e6),
        _column(more_s, 1e6),
    )


def fit_attention(seen: Sequence[Seen], kept: str, threads: int) -> AttentionCosts:
    """The costs of a format of state."""
    features, seconds = [], []
    for one in seen:
        for kernel in one.kernels:
            if isinstance(kernel, Attention) and kernel.kept == kept and len(one.kernels) == 1:
                pairs, per_attended = attention_features(kernel, one.tokens, threads)
                moved = one.kept * kernel.kept_bytes
                features.append(
                    [1.0, pairs]
                    + [f * (one.attended + HALF_BLOCK * one.tokens) for f in per_attended]
                    + [moved * one.cold, moved * (not one.cold)]
                )
                seconds.append(one.seconds)
    scales = (1e6, 1e9, 1e12, 1e12, 1e12, 1e12, 1e12, 1e12)
    found = fitted(features, seconds)
    return AttentionCosts(
        kept, *(round(float(x * s), 4) for x, s in zip(found, scales, strict=True))
    )


def fit_shares(
    seen: Sequence[SeenSet], costs: AttentionCosts, threads: int
) -> tuple[tuple[int, float], ...]:
    """How much of each working set came from memory: what attention took, between what it takes
    where nothing does and where everything does. The larger a set, the more of it: what says
    otherwise is halfway between what all smaller ones ask for and all larger ones."""
    shares = []
    for one in seen:
        line = Line()
        for kernel in one.kernels:
            line = line.plus(costs.line(kernel, one.tokens, threads))
        cached = line.cached + (line.per_attended + line.kept_cached) * one.kept
        streamed = (line.kept_streamed - line.kept_cached) * one.kept
        shares.append((one.seconds - cached) / streamed if streamed > 0 else 1.0)
    bounded = np.clip(shares, 0.0, 1.0)
    grown = (np.maximum.accumulate(bounded) + np.minimum.accumulate(bounded[::-1])[::-1]) / 2
    sizes = (one.working_set_bytes for one in seen)
    return tuple((size, round(float(s), 3)) for size, s in zip(sizes, grown, strict=True))


def fit_rows(seen: Sequence[Seen], steps: str, threads: int) -> RowCosts:
    """The costs of row phases in one kind of steps."""
    features, seconds = [], []
    for one in seen:
        of_kind = one.alone if steps == "alone" else not one.alone
        if steps != "alone":
            of_kind = of_kind and (one.tokens >= MANY_ROWS) == (steps == "many")
        for kernel in one.kernels:
            if isinstance(kernel, Rows) and of_kind and len(one.kernels) == 1:
                counts, rows = dict(kernel.counts), rows_each(one.tokens, one.alone, threads)
                features.append(
                    [1.0, float(one.cold), rows]
                    + [rows * counts.get(kind, 0.0) for kind in ROW_KINDS]
                )
                seconds.append(one.seconds)
    start, cold, row, *elements = fitted(features, seconds)
    return RowCosts(
        steps,
        round(float(start) * 1e6, 4),
        round(float(cold) * 1e6, 4),
        round(float(row) * 1e9, 4),
        tuple(round(float(x) * 1e12, 4) for x in elements),
    )


def rows_each(rows: int, alone: bool, threads: int) -> int:
    """Rows of the thread that has most of them."""
    return rows if alone else -(-rows // threads)


def _column(values: Array, scale: float) -> tuple[float, ...]:
    return tuple(round(float(v) * scale, 4) for v in values)
