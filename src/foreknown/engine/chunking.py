"""Decides how much of a prompt a step may compute beside those who decode.

Everybody's next token waits for the whole step, so an arriving prompt must not make it much
longer. What is told of steps beforehand gives the first answer; the clock corrects it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from foreknown.engine.step_times import StepTimes

STRETCH = 1.7
"""A step with prompt tokens takes at most so many times what it would take without."""

_SIZES = (1, *(size << i for i in range(20) for size in (2, 3)))
"""Chunks that are weighed; those between differ little."""
_WEIGHED_EVERY = 8
"""After so many steps with prompt tokens chunks are weighed anew."""
_SURPRISE = 1.2
"""After a step that took so many times what was expected they are weighed at once."""
_DECODE_STEPS_ALL, _DECODE_STEPS_EVERY = 16, 8
"""So many steps without prompt tokens are timed at first, later one in so many."""


class Chunking:
    """The largest chunks that spare those who decode.

    Args:
        decode: what steps of decode tokens take.
        told: tokens and rows of a step → seconds, or a multiple of them, as `decode` was told.
    """

    def __init__(self, decode: StepTimes, told: Callable[[int, int], float]) -> None:
        self.decode = decode
        self._told = cache(told)
        self._ratios = StepTimes(lambda n_tokens: 1.0)  # of steps with prompt tokens: seen / told
        self._most: dict[int, int] = {}
        self._n_observed = self._n_plain = 0

    def most(self, n_decoding: int, room: int) -> int:
        """Prompt tokens (and drafts) at most, 1 to `room`, beside so many decode tokens."""
        if not n_decoding:
            return room
        most = self._most.get(n_decoding)
        if most is None:
            most = self._most[n_decoding] = self._weigh(n_decoding)
        return min(most, room)

    def seconds(self, n_tokens: int, n_rows: int) -> float:
        """Of a step with prompt tokens."""
        if self._n_observed:
            ratio = self._ratios.seconds(n_tokens)
        else:
            ratio = self.decode.seconds(n_rows) / self._told(n_rows, n_rows)
        return ratio * self._told(n_tokens, n_rows)

    def observe(self, n_tokens: int, n_rows: int, seconds: float) -> None:
        """Take note of what a step with prompt tokens took."""
        if seconds <= 0:
            return
        is_surprise = seconds > _SURPRISE * self.seconds(n_tokens, n_rows)
        self._ratios.observe(n_tokens, seconds / self._told(n_tokens, n_rows))
        self._n_observed += 1
        if is_surprise or self._n_observed % _WEIGHED_EVERY == 0:
            self._most.clear()

    def observe_decode(self, n_tokens: int, seconds: float) -> None:
        """Take note of what a step of decode tokens took, where nobody else does."""
        self._n_plain += 1
        if self._n_plain <= _DECODE_STEPS_ALL or self._n_plain % _DECODE_STEPS_EVERY == 0:
            self.decode.observe(n_tokens, seconds)

    def _weigh(self, n_decoding: int) -> int:
        limit = STRETCH * self.decode.seconds(n_decoding)
        first, last = 0, len(_SIZES) - 1
        while first < last:  # the last size that keeps the limit; the smallest in any case
            middle = (first + last + 1) // 2
            if self.seconds(n_decoding + _SIZES[middle], n_decoding + 1) <= limit:
                first = middle
            else:
                last = middle - 1
        return _SIZES[first]
