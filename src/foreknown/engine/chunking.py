"""Decides how much of a prompt a step may compute beside those who decode.

Everybody's next token waits for the whole step, so an arriving prompt must not make it much
longer. What is told of steps beforehand gives the first answer; the clock corrects it:

    seconds of n decode tokens and a chunk = seconds of n decode tokens * (1 + slope * told)

where `told` is how much longer it would be by what was told, and the slope, 1 at first, is
learned. One number for all sizes is learned fast, and no burst of a neighbour can spoil it for
long: one step moves it little, but each that agrees with the one before moves it further.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from foreknown.engine.step_times import StepTimes

STRETCH = 1.5
"""A step with prompt tokens takes at most so many times what it would take without."""
LEAST = 4
"""Prompt tokens that a step has in any case: a prompt must come to an end, too."""

_MEMORY = 8
"""Steps after which old ones fade."""
_AT_ONCE, _MOST_AT_ONCE = 1.25, 64.0
"""One step counts as if the slope was at most so many times what it was, or an n-th of it; the next
one on the same side so many times more."""
_FIRST = 4
"""The first few steps may say that it is more at once: gaps would be long. That it is less they may
not: who decoded with them met with cold caches."""
_LEAST_SLOPE, _LARGEST_SLOPE = 1 / 64, 1024.0
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
        told: tokens and rows of a step → seconds, or a multiple of them, as `decode` was told;
            never less for more tokens.
    """

    def __init__(self, decode: StepTimes, told: Callable[[int, int], float]) -> None:
        self.decode = decode
        self._told = cache(told)
        self._slope = 1.0
        self._n_above = self._n_below = 0  # steps on end that said more, or less, than they might
        self._most: dict[tuple[int, int], int] = {}
        self._n_observed = self._n_plain = 0

    def most(self, n_decoding: int, room: int) -> int:
        """Prompt tokens (and drafts) at most, up to `room`, beside so many decode tokens."""
        if not n_decoding:
            return room
        most = self._most.get((n_decoding, room))
        if most is None:
            most = self._most[n_decoding, room] = self._weigh(n_decoding, room)
        return most

    def stretch(self, n_decoding: int, n_tokens: int) -> float:
        """How many times longer a step of so many tokens is than one of the decode tokens alone."""
        return 1 + self._slope * self._told_extra(n_decoding, n_tokens)

    def observe(self, n_decoding: int, n_tokens: int, seconds: float) -> None:
        """Take note of what a step with prompt tokens took."""
        if not n_decoding or seconds <= 0:
            return
        told = self._told_extra(n_decoding, n_tokens)
        if told <= 0:
            return
        took = seconds / self.decode.seconds(n_decoding)
        is_surprise = took > _SURPRISE * self.stretch(n_decoding, n_tokens)
        self._n_observed += 1
        seen = (took - 1) / told
        above = min(_AT_ONCE ** (self._n_above + 1), _MOST_AT_ONCE)
        below = min(_AT_ONCE ** (self._n_below + 1), _MOST_AT_ONCE)
        most = self._slope * (_MOST_AT_ONCE if self._n_observed <= _FIRST else above)
        least = self._slope / below
        self._n_above = self._n_above + 1 if seen > most else 0
        self._n_below = self._n_below + 1 if seen < least else 0
        seen = min(max(seen, least), most)
        slope = self._slope + (seen - self._slope) / min(self._n_observed, _MEMORY)
        self._slope = min(max(slope, _LEAST_SLOPE), _LARGEST_SLOPE)
        if is_surprise or self._n_observed % _WEIGHED_EVERY == 0:
            self._most.clear()

    def observe_decode(self, n_tokens: int, seconds: float) -> None:
        """Take note of what a step of decode tokens took, where nobody else does."""
        self._n_plain += 1
        if self._n_plain <= _DECODE_STEPS_ALL or self._n_plain % _DECODE_STEPS_EVERY == 0:
            self.decode.observe(n_tokens, seconds)

    def _told_extra(self, n_decoding: int, n_tokens: int) -> float:
        """By how much of itself a step of decode tokens grows to one of so many tokens."""
        plain = self._told(n_decoding, n_decoding)
        return self._told(n_tokens, n_decoding + 1) / plain - 1

    def _weigh(self, n_decoding: int, room: int) -> int:
        first, last = min(LEAST, room), room
        while first < last:  # the last size that keeps the limit; the smallest in any case
            middle = (first + last + 1) // 2
            if self.stretch(n_decoding, n_decoding + middle) <= STRETCH:
                first = middle
            else:
                last = middle - 1
        return first
