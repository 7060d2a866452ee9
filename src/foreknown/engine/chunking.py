"""Decides how much of a prompt a step may compute beside those who decode.

Everybody's next token waits for the whole step, so an arriving prompt must not make it much
longer. What is told of steps beforehand gives the first answer; the clock corrects it:

    seconds of n decode tokens and a chunk = seconds of n decode tokens * (1 + slope * told)

where `told` is how much longer it would be by what was told, and the slope, 1 at first, is
learned. One number for all sizes is learned fast, and no burst of a neighbour can spoil it for
long: one step moves it little, but each that agrees with the one before moves it further.

What was told stands as long as the clock does not clearly contradict it: then chunks are those
that were foreseen, and prompts come when they were forecast to.
"""

from __future__ import annotations

from foreknown.engine.largest import largest
from foreknown.engine.step_times import StepTimes, about
from foreknown.plan.price import StepShape, decode_shape, prompt_shape

STRETCH = 1.5
"""A step with prompt tokens takes at most so many times what it would take without."""
AGREES = 1.25
"""What was told stands if a step of the longest chunk is that many times longer or shorter at most:
so no gap is more than twice as long."""
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


class Chunking:
    """The largest chunks that spare those who decode.

    Args:
        decode: what steps of decode tokens take.
    """

    def __init__(self, decode: StepTimes) -> None:
        self.decode = decode
        self._told = decode.told
        self._slope = 1.0
        self._n_above = self._n_below = 0  # steps on end that said more, or less, than they might
        self._most: dict[tuple[int, int, int, int], int] = {}
        self._n_observed = 0

    def most(self, decoding: StepShape, start: int, room: int) -> int:
        """Prompt tokens (and drafts) at most, up to `room`.

        Args:
            decoding: the step without them.
            start: position of the first of them.
        """
        if not decoding.tokens:
            return room
        key = decoding.tokens, about(decoding.context), about(start), room
        most = self._most.get(key)
        if most is None:
            most = self._most[key] = self._weigh(*key)
        return most

    def observe(self, decoding: StepShape, step: StepShape, seconds: float) -> None:
        """Take note of what a step with prompt tokens took.

        Args:
            decoding: the same without them.
        """
        if not decoding.tokens or seconds <= 0:
            return
        told = self._told(step) / self._told(decoding) - 1
        if told <= 0:
            return
        took = seconds / self.decode.seconds(decoding.tokens, decoding.context)
        is_surprise = took > _SURPRISE * (1 + self._slope * told)
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

    def _weigh(self, n_decoding: int, context: int, start: int, room: int) -> int:
        plain = decode_shape(n_decoding, context)
        at_limit = 1 + self._slope * (STRETCH - 1)
        slope = 1.0 if STRETCH / AGREES <= at_limit <= STRETCH * AGREES else self._slope
        most_s = self._told(plain) * (1 + (STRETCH - 1) / slope)

        def keeps_limit(n_tokens: int) -> bool:
            more = prompt_shape(start, start + n_tokens, 1)
            return self._told(plain.beside(more)) <= most_s

        return largest(min(LEAST, room), room, keeps_limit)
