"""How long a step may be, so that all who were promised a time come to their ends in time.

A promised end is a pace for the tokens that are left, and it stays one if every step keeps it: so
whoever comes sooner than was foreseen when a promise was made cannot break it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Generic

from foreknown.engine.chunk import Chunk, Limits, Order, P, shape_of
from foreknown.engine.chunking import Chunking
from foreknown.engine.largest import largest
from foreknown.plan.price import StepShape, prompt_shape

SHARE = 0.9
"""Of the pace that is needed to keep what was promised, what a step may take."""
NEAR = 2.0
"""A step's limit is looked at closely if it is less than so many times what the step takes."""


class Pace(Generic[P]):
    """What promises leave a step.

    Args:
        step_seconds: what a step takes, as forecast; None: promises are made to nobody.
        chunking: knows about what decode tokens take; None: nobody does.
    """

    def __init__(
        self, step_seconds: Callable[[StepShape], float] | None, chunking: Chunking | None
    ) -> None:
        self._step_seconds, self._chunking = step_seconds, chunking

    def limits(self, decoding: list[Chunk[P]], now_ns: int) -> tuple[Limits, int]:
        """What a step may take for those who decode, and how many of them may be in it.

        Later ones wait if an earlier one's pace leaves no time for their rows.

        Returns:
            limits: see `Room`.
            n_may: the first so many of those who decode.
        """
        limits: list[tuple[Order, float]] = []
        limit_ns, most_pressed = inf, 0
        for i, (sequence, _, _) in enumerate(decoding):
            commitment = sequence.commitment
            if commitment is None:
                continue
            own_ns = inf
            if commitment.last_ns is not None:
                left = sequence.longest - sequence.n_tokens
                own_ns = (commitment.last_ns - now_ns) / (left if left > 0 else 1)
            if commitment.pace_ns is not None and commitment.pace_ns < own_ns:
                own_ns = commitment.pace_ns
            if 0 < own_ns < limit_ns:  # a promise that is broken already presses nobody
                limit_ns, most_pressed = own_ns, i
                limits.append((sequence.order, SHARE * limit_ns / 1e9))
        if not limits:
            return limits, len(decoding)
        limit_s = SHARE * limit_ns / 1e9

        def is_in_time(n_may: int) -> bool:
            return self._seconds(decoding[:n_may], limit_s) <= limit_s

        return limits, largest(most_pressed + 1, len(decoding), is_in_time)

    def is_near(self, n_decoding: int, limits: Limits) -> bool:
        """Whether a step that is a little longer might not be in time, such as one with guesses."""
        return bool(limits) and NEAR * self._about_s(n_decoding) > limits[-1][1]

    def within(self, chunks: list[Chunk[P]], sequence: P, most: int, limit_s: float) -> int:
        """Tokens of a prompt, up to `most`, that a step may have besides if it is to take no
        longer than that."""
        step_seconds = self._step_seconds
        if step_seconds is None or limit_s == inf:
            return most
        without, start, n_pending = shape_of(chunks), sequence.n_computed, sequence.n_pending

        def is_in_time(n_tokens: int) -> bool:
            n_rows = n_tokens if sequence.reads_each else int(n_tokens == n_pending)
            more = prompt_shape(start, start + n_tokens, n_rows)
            return step_seconds(without.beside(more)) <= limit_s

        return largest(0, most, is_in_time)

    def affordable(self, chunks: list[Chunk[P]], most: int, limit_s: float) -> int:
        """Tokens of whatever prompts, up to `most`, that a step surely may have besides if it is to
        take no longer than that."""
        assert self._step_seconds is not None
        step, n_tokens = shape_of(chunks), most
        while n_tokens > 0:
            context = step.kept + n_tokens
            more = StepShape(n_tokens, 1, n_tokens * context, n_tokens)
            if self._step_seconds(step.beside(more)) <= limit_s:
                break
            n_tokens //= 2
        return n_tokens

    def _seconds(self, decoding: list[Chunk[P]], limit_s: float) -> float:
        """What a step of some decode tokens takes: by their number, and where that comes near a
        limit, by their contexts, too."""
        about_s = self._about_s(len(decoding))
        if self._step_seconds is None or NEAR * about_s < limit_s:
            return about_s
        return self._step_seconds(shape_of(decoding))

    def _about_s(self, n_decoding: int) -> float:
        return 0.0 if self._chunking is None else self._chunking.decode.seconds(n_decoding)
