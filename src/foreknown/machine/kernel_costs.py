"""What kernels take on a machine with all its threads, as calibration measured them.

Everything is told twice: *streamed*, where weights and state come from memory, and *cached*, where
the last cache holds them. How much of each applies, the streamed share, follows from what a step
reads in all.

    product    start (streamed or cached) + n k (streamed or cached)  tables over the tokens T
                     + n output
    attention  start + pairs, head elements, group elements, heads    for each position attended to
                     + bytes (streamed or cached)                     for each position kept
    rows       start + rows on a thread (row + sum over kinds of elements x what one takes)
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

from foreknown.machine.kernels import PANEL, ROW_KINDS, Attention, Product, Rows

MANY_ROWS = 33
"""From so many on, rows on their way between phases are more than a core's cache holds."""
PANELS_AT_ONCE = 4
"""Panels that a product of weights in floating point goes over at once; what is left over, one by
one."""
LONE_PANEL = 0.8
"""What such a panel takes more than one of four, relative (0.65 to 1.1 by the number of tokens)."""
VALUES_AT_ONCE = 4
"""Heads that attention goes over a group's values for at once; others are taken one by one."""
HALF_BLOCK = 7.5
"""Positions that a token looks at beyond its own, in the mean: blocks of 16 are gone over whole."""
STEPS = ("alone", "few", "many")
"""Kinds of steps whose row phases differ: a lone token's, and by their number of rows."""


class Line(NamedTuple):
    """Seconds of a phase at some T and R: base + attended x per_attended + kept x per_kept."""

    streamed: float = 0.0
    cached: float = 0.0
    per_attended: float = 0.0
    kept_streamed: float = 0.0
    kept_cached: float = 0.0

    def plus(self, other: Line) -> Line:
        """Two phases, one after the other."""
        return Line(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, count: float) -> Line:
        """The same phase so many times."""
        return Line(*(a * count for a in self))


@dataclass(frozen=True)
class ProductTable:
    """Of one format of weights; all columns go with `tokens`, which ascend.

    Attributes:
        weights: "f32", "bf16", or bits and group as in "int4/32".
        tokens: T.
        streamed_ps: picoseconds for each weight.
        cached_ps: the same where the last cache holds them.
        output_ns: nanoseconds for each output.
        start_us: microseconds of a phase, its meeting among them.
        cold_us: what it takes more where its weights come from memory.
    """

    weights: str
    tokens: tuple[int, ...]
    streamed_ps: tuple[float, ...]
    cached_ps: tuple[float, ...]
    output_ns: tuple[float, ...]
    start_us: tuple[float, ...]
    cold_us: tuple[float, ...]

    def at(self, tokens: float) -> tuple[float, float, float, float, float]:
        """Seconds: for each weight streamed and cached, each output, the phase's start, and what
        that takes more where weights come from memory."""
        columns = (self.streamed_ps, self.cached_ps, self.output_ns, self.start_us, self.cold_us)
        place = min(max(bisect_left(self.tokens, tokens), 1), len(self.tokens) - 1)
        low, high = self.tokens[place - 1], self.tokens[place]
        part = max((tokens - low) / (high - low), 0.0)
        values = [c[place - 1] + part * (c[place] - c[place - 1]) for c in columns]
        streamed, cached, output, start, cold = values
        return streamed * 1e-12, cached * 1e-12, output * 1e-9, start * 1e-6, cold * 1e-6

    def line(self, product: Product, rows: int, threads: int) -> Line:
        """A product of so many rows of a step."""
        if product.experts:
            return self._experts(product, rows, threads)
        streamed, cached, output, start, cold = self.at(rows * product.lead)
        outputs = padded_outputs(product, threads)
        rest = outputs * output + start
        weights = outputs * product.width
        return Line(weights * streamed + rest + cold, weights * cached + rest)

    def _experts(self, product: Product, rows: int, threads: int) -> Line:
        """Rows meet their experts one by one; those who share an expert share its bytes."""
        streamed, cached, output, start, cold = self.at(1)
        times = rows * product.chosen
        distinct = product.experts * (1 - (1 - product.chosen / product.experts) ** rows)
        outputs = padded_outputs(product, threads)
        weights = outputs * product.width
        base = times * (weights * cached + outputs * output) + start
        return Line(base + distinct * weights * max(streamed - cached, 0.0) + cold, base)


@dataclass(frozen=True)
class AttentionCosts:
    """Of one format of state.

    Attributes:
        kept: "f32", "bf16" or "int8".
        start_us: microseconds of a phase, its meeting among them.
        pair_ns: nanoseconds for each token and group.
        head_ps: picoseconds for each position, head and element of it.
        group_ps: for each position, group and element of it.
        pass_ps: for each position and element, each time that a group's values are gone over.
        score_ps: for each position and head.
        streamed_ps: for each byte of a position kept, from memory.
        cached_ps: the same where the last cache holds it.
    """

    kept: str
    start_us: float
    pair_ns: float
    head_ps: float
    group_ps: float
    pass_ps: float
    score_ps: float
    streamed_ps: float
    cached_ps: float

    def line(self, attention: Attention, tokens: int, threads: int) -> Line:
        """Attention in a step of so many tokens."""
        pairs, per_attended = attention_features(attention, tokens, threads)
        costs = (self.head_ps, self.group_ps, self.pass_ps, self.score_ps)
        attended = sum(c * f for c, f in zip(costs, per_attended, strict=True)) * 1e-12
        base = self.start_us * 1e-6 + self.pair_ns * 1e-9 * pairs + attended * HALF_BLOCK * tokens
        streamed, cached = (
            attention.kept_bytes * ps * 1e-12 for ps in (self.streamed_ps, self.cached_ps)
        )
        return Line(base, base, attended, streamed, cached)


@dataclass(frozen=True)
class RowCosts:
    """Of row phases in one kind of steps.

    Attributes:
        steps: of `STEPS`.
        start_us: microseconds of a phase, its meeting among them.
        cold_us: what it takes more where nothing is in the cache.
        row_ns: nanoseconds of a row.
        element_ps: picoseconds of an element, for each of `ROW_KINDS`.
    """

    steps: str
    start_us: float
    cold_us: float
    row_ns: float
    element_ps: tuple[float, ...]

    def line(self, rows: Rows, count: int) -> Line:
        """A phase in which the thread that has most rows has so many."""
        if count == 0:
            return Line(self.start_us * 1e-6, self.start_us * 1e-6)
        kinds = dict(zip(ROW_KINDS, self.element_ps, strict=True))
        row = self.row_ns * 1e-9 + sum(kinds[k] * n for k, n in rows.counts) * 1e-12
        base = self.start_us * 1e-6 + count * row
        return Line(base + self.cold_us * 1e-6, base)


@dataclass(frozen=True)
class EngineCosts:
    """What a step takes beside its phases: scheduling, waking threads, sampling; and what requests
    take beside their steps.

    Attributes:
        step_us: microseconds of a step.
        row_us: for each row of logits, its sequence's share of everything.
        token_us: for each token.
        prompt_us: if it has tokens of prompts.
        logit_ps: picoseconds for each logit, to choose a token.
        request_us: microseconds of a request: to take it in, and to begin it.
        idle_us: if nothing ran when it came, so threads slept.
    """

    step_us: float = 0.0
    row_us: float = 0.0
    token_us: float = 0.0
    prompt_us: float = 0.0
    logit_ps: float = 0.0
    request_us: float = 0.0
    idle_us: float = 0.0

    def seconds(self, tokens: int, rows: int, vocabulary: int) -> float:
        """Of a step."""
        micro = self.step_us + self.row_us * rows + self.token_us * tokens
        if tokens > rows:
            micro += self.prompt_us
        return micro * 1e-6 + self.logit_ps * 1e-12 * vocabulary * rows


@dataclass(frozen=True)
class KernelCosts:
    """All of it.

    Attributes:
        streamed_shares: of working sets in bytes, which ascend, how much comes from memory each
            time; all of it from the last one on.
    """

    streamed_shares: tuple[tuple[int, float], ...]
    products: tuple[ProductTable, ...]
    attention: tuple[AttentionCosts, ...]
    rows: tuple[RowCosts, ...]
    engine: EngineCosts

    def product(self, weights: str) -> ProductTable | None:
        """The table of a format; None: it was not measured."""
        return next((table for table in self.products if table.weights == weights), None)

    def attend(self, kept: str) -> AttentionCosts | None:
        """The costs of a format of state; None: it was not measured."""
        return next((costs for costs in self.attention if costs.kept == kept), None)

    def streamed_share(self, working_set_bytes: float) -> float:
        """How much of a working set comes from memory each time, the rest from the last cache."""
        below = self.streamed_shares[0]
        for above in self.streamed_shares:
            if working_set_bytes <= above[0]:
                part = (working_set_bytes - below[0]) / max(above[0] - below[0], 1)
                return below[1] + max(part, 0.0) * (above[1] - below[1])
            below = above
        return 1.0

    def row_phases(self, steps: str) -> RowCosts | None:
        """The costs of row phases in a kind of steps; None: they were not measured."""
        return next((costs for costs in self.rows if costs.steps == steps), None)


def padded_outputs(product: Product, threads: int) -> float:
    """Outputs that count: whole panels, and as if every thread had as many as the one with most;
    those that are gone over one by one count almost double."""
    panels = -(-product.outputs // product.panel)
    each = -(-panels * product.matrices // threads)
    slower = 0.0
    if product.panel == PANEL:
        run = each if product.matrices == 1 else panels
        slower = LONE_PANEL * (run % PANELS_AT_ONCE) / run
    return each * (1 + slower) * threads * product.panel


def attention_features(
    attention: Attention, tokens: int, threads: int
) -> tuple[float, tuple[float, float, float, float]]:
    """Pairs that count, and for each position attended to: elements of heads, of groups, of the
    passes over values, and heads; as if every thread had as many as the one with most."""
    pairs = tokens * attention.groups
    uneven = -(-pairs // threads) * threads / pairs if pairs >= threads else 1.0
    shared = attention.heads / attention.groups
    width = (attention.width + attention.value_width) / 2
    whole, rest = divmod(int(shared), VALUES_AT_ONCE)
    per_group = (shared * width, width, (whole + rest) * width, shared)
    head, group, passes, score = (uneven * attention.groups * f for f in per_group)
    return pairs * uneven, (head, group, passes, score)


def step_kind(tokens: int, alone: bool) -> str:
    """Which of `STEPS` a step's row phases belong to."""
    if alone:
        return "alone"
    return "many" if tokens >= MANY_ROWS else "few"
