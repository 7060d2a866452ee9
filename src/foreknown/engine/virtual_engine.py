"""Runs a scheduler on the virtual clock, which advances by what steps take as forecast.

The scheduler is the one that serves. What it decides for a step mostly stays as it is for many:
until somebody arrives, ends, begins to decode or lacks a block. Such steps are taken in one leap,
each at the price of the middle one, since what a step takes grows evenly with its contexts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from foreknown.engine.block_count import BlockCount
from foreknown.engine.block_manager import blocks_for
from foreknown.engine.chunk import Chunk
from foreknown.engine.rehearsed import Rehearsed
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.step_times import about
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.plan.price import StepShape

FOREVER_NS = 1 << 62
SHORT_LEAP = 8
"""Steps at most in one leap while what was promised holds somebody back: that changes soon."""


def _nothing() -> None:
    pass


class VirtualEngine:
    """Steps that nothing computes.

    Args:
        step_seconds: what a step takes.
        now_ns: when it begins.
        grain: whoever decodes may stay for so many steps past its end, if that saves a leap: its
            own times are exact, and others are told a little more than they will take.

    Attributes:
        every_mixed: what to do after a leap in which some lived on time to spare.
        now_ns: the virtual time.
        step_ns: what the last step took.
        busy_ns: of it, in steps.
        n_steps: that were taken.
    """

    def __init__(
        self,
        scheduler: Scheduler[Rehearsed],
        blocks: BlockCount,
        step_seconds: Callable[[StepShape], float],
        now_ns: int = 0,
        grain: int = 0,
    ) -> None:
        self.scheduler, self.blocks = scheduler, blocks
        self.now_ns = now_ns
        self.step_ns = self.busy_ns = self.n_steps = 0
        self.every_mixed: Callable[[], None] = _nothing
        self._step_seconds, self._grain = step_seconds, grain

    @property
    def has_work(self) -> bool:
        """Whether anybody runs or waits."""
        return bool(self.scheduler.running or self.scheduler.waiting)

    def spend(self, seconds: float) -> None:
        """Be busy with something else than a step."""
        spent_ns = round(seconds * 1e9)
        self.now_ns += spent_ns
        self.busy_ns += spent_ns

    def ends_by(self, until_ns: int) -> bool:
        """Take steps as long as there is work, to the end of the step at a time at most; whether
        none was left then.
        """
        while self.has_work and self.now_ns < until_ns:
            self._leap(until_ns)
        return not self.has_work

    def run(self, until_ns: int = FOREVER_NS) -> None:
        """Take steps until nothing is left to do, or to the end of the step at that time."""
        self.ends_by(until_ns)
        if until_ns != FOREVER_NS:
            self.now_ns = max(self.now_ns, until_ns)

    def _leap(self, until_ns: int) -> None:
        spare_s = self.scheduler.spare_s
        chunks = self.scheduler.schedule(self.now_ns)
        assert chunks, "work, but nothing to do"
        is_mixed = self.scheduler.is_mixed
        shape, growth, n_same = self._look(chunks)
        if n_same > 1 and (is_mixed or not self.scheduler.has_promised):
            n_same = min(n_same, _with_these_chunks(chunks))
        if is_mixed:
            n_same = min(n_same, _within(self.scheduler.spare_s, spare_s - self.scheduler.spare_s))
        elif self.scheduler.is_pressed:
            n_same = min(n_same, SHORT_LEAP)
        seconds = first_s = self._step_seconds(shape)
        gap_s = (until_ns - self.now_ns) / 1e9
        n_steps = n_same
        for _ in range(2):  # the second time with contexts as they are half-way
            n_steps = min(n_steps, max(math.ceil(gap_s / seconds), 1))
            n_steps = self._with_blocks(chunks, n_steps)
            if n_steps == 1:
                seconds = first_s
                break
            half = (n_steps - 1) / 2
            later = StepShape(
                shape.tokens,
                shape.rows,
                shape.attended + growth * half,
                shape.kept + shape.tokens * half,
            )
            seconds = self._step_seconds(later)
        start_ns, step_ns = self.now_ns, seconds * 1e9
        self.now_ns = start_ns + max(round(n_steps * step_ns), 1)
        self.step_ns = round(step_ns)
        self.busy_ns += self.now_ns - start_ns
        self.n_steps += n_steps
        self._advance(chunks, n_steps, start_ns, step_ns)
        if is_mixed:
            self.scheduler.spare_s -= (n_steps - 1) * (spare_s - self.scheduler.spare_s)
            self.every_mixed()

    def _look(self, chunks: list[Chunk[Rehearsed]]) -> tuple[StepShape, int, int]:
        """A step's shape, what `attended` grows by with each like it, and how often it is alike."""
        tokens = rows = attended = kept = growth = 0
        first, last = 1 << 40, 0
        all_decode = True
        for sequence, n_tokens, _ in chunks:
            end = sequence.n_computed + n_tokens
            n_pending = sequence.n_tokens - sequence.n_computed
            kept += end
            tokens += n_tokens
            if n_tokens == 1 == n_pending and sequence.first_ns >= 0:
                attended += end
                growth += 1
                rows += 1
                left = sequence.longest - sequence.n_tokens
                if left > last:
                    last = left
            else:
                all_decode = False
                attended += n_tokens * (sequence.n_computed + 1 + end) // 2
                growth += n_tokens * n_tokens
                rows += n_tokens if sequence.reads_each else n_tokens == n_pending
                left = max((n_pending - 1) // n_tokens, 1)
                n_named = BLOCK_TOKENS * len(sequence.prefix)
                if sequence.n_computed < n_named and self.scheduler.waiting:
                    left = 1  # whoever waits may find what this step computes
            if left < first:
                first = left
        if all_decode:
            first = max(first, min(self._grain, last))
        return StepShape(tokens, rows, attended, kept), growth, first

    def _with_blocks(self, chunks: list[Chunk[Rehearsed]], n_steps: int) -> int:
        """As many steps at most as there are blocks for, at least one."""
        while n_steps > 1:
            n_free = self.blocks.n_free
            if n_free >= len(chunks) * (n_steps // BLOCK_TOKENS + 1):
                return n_steps
            wanted = sum(
                max(blocks_for(s.n_tokens + n_steps - 1) - s.n_blocks, 0)
                for s, n_tokens, _ in chunks
                if n_tokens == 1
            )
            if wanted <= n_free:
                return n_steps
            n_steps //= 2
        return n_steps

    def _advance(
        self, chunks: list[Chunk[Rehearsed]], n_steps: int, start_ns: int, step_ns: float
    ) -> None:
        blocks, ended = self.blocks, []
        for sequence, n_tokens, _ in chunks:
            if n_tokens != sequence.n_tokens - sequence.n_computed:
                sequence.n_computed += n_steps * n_tokens
                blocks.register(sequence)
                continue
            grown = sequence.n_tokens + n_steps
            commitment = sequence.commitment
            is_paced = commitment is not None and commitment.pace_ns is not None
            if is_paced and sequence.first_ns >= 0:
                sequence.n_tokens += 1  # behind after the first of these steps, or after the last
                sequence.came(start_ns + round(step_ns), is_last=False)
                sequence.n_tokens -= 1
            if sequence.first_ns < 0:
                self._begin(sequence, n_tokens, start_ns + round(step_ns))
                continue
            if grown >= sequence.longest:
                n_left = sequence.longest - sequence.n_tokens
                sequence.n_computed += n_tokens + n_left - 1
                sequence.n_tokens = sequence.longest
                sequence.came(start_ns + round(n_left * step_ns), is_last=True)
                ended.append(sequence)
                continue
            sequence.n_tokens = grown
            if is_paced:
                sequence.came(start_ns + round(n_steps * step_ns), is_last=False)
            sequence.n_computed += n_tokens + n_steps - 1
            if grown - 1 > sequence.n_blocks * BLOCK_TOKENS:
                blocks.extend(sequence, blocks_for(grown - 1) - sequence.n_blocks)
        for sequence in ended:
            self.scheduler.finish(sequence)

    def _begin(self, sequence: Rehearsed, n_tokens: int, now_ns: int) -> None:
        """A prompt is computed to its end, and gives a first token if one is wanted."""
        sequence.n_computed += n_tokens
        if sequence.max_tokens:
            sequence.n_tokens += 1
        is_last = sequence.n_output >= sequence.max_tokens
        sequence.came(now_ns, is_last=is_last)
        self.scheduler.prompt_computed(sequence)
        if is_last:
            self.scheduler.finish(sequence)


def _with_these_chunks(chunks: list[Chunk[Rehearsed]]) -> int:
    """Steps for which those who decode bear the same tokens of prompts: see `Chunking.most`."""
    n_decoding = kept = 0
    n_same = FOREVER_NS
    for sequence, n_tokens, _ in chunks:
        start = sequence.n_computed
        if n_tokens == 1:
            n_decoding += 1
            kept += start + 1
        elif start == sequence.n_cached:
            return 1  # it began in this step
        else:
            n_same = min(n_same, (about(start) - start) // n_tokens + 1)
    if n_decoding and n_same < FOREVER_NS:
        context = kept // n_decoding
        n_same = min(n_same, about(context) - context + 1)
    return n_same


def _within(spare_s: float, each_s: float) -> int:
    """Steps like one that has taken its part of the time to spare, this one among them."""
    return min(SHORT_LEAP, 1 + int(spare_s / each_s)) if each_s > 0 else SHORT_LEAP
