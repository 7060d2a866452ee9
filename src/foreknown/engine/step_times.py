"""What a step of so many decode tokens takes: told beforehand, corrected by steps that were run."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from foreknown.plan.price import Price, StepShape, decode_shape

_MEMORY = 16
"""Steps of one size after which old ones fade: contexts grow, neighbours come and go."""
_FIRST = 4
"""Steps of one size of which the fastest counts: the first meet with cold caches."""
_OUTLIER = 2.0
"""A step that took longer than so many times what was expected counts as so many times."""
_FORGET = 256
"""Steps after which a size that has not come again is forgotten: perhaps it met with a burst."""
_ALL_TIMED, _TIMED_EVERY = 16, 8
"""So many steps of decode tokens are timed at first, later one in so many."""

Told: TypeAlias = Callable[[StepShape], float]
"""A step → seconds, or a multiple of them; never less for more tokens."""


def unmeasured(step: StepShape) -> float:
    """For a machine that nobody measured: each further token costs a quarter of the first."""
    return 1 + (step.tokens - 1) / 4


def told_by(price: Price | None) -> Told:
    """What is told of steps beforehand."""
    return unmeasured if price is None else price.seconds


def about(context: float) -> int:
    """A context, rounded up to one of few, so that what is told of it is asked for once."""
    digits = max(int(context).bit_length() - 2, 0)
    return -(-int(context) >> digits) << digits


class StepTimes:
    """Seconds of a step by its number of tokens, and by what they attend to.

    What is told gives the shape before anything has run; then the engine's clock corrects it.
    On a forecast's clock, which runs by what is told, there is nothing to correct.

    Args:
        told: of steps; asked about once for each number of tokens and each of few contexts.
        context: positions that each token attends to, where nobody says.

    Attributes:
        told: of any steps.
    """

    def __init__(self, told: Told, context: float) -> None:
        self.told = told
        self._told_once = cache(lambda n_tokens, context: told(decode_shape(n_tokens, context)))
        self._context = context
        self._n_plain = 0
        self._ratios: dict[int, float] = {}  # by size: seen / told
        self._counts: dict[int, int] = {}
        self._sizes: list[int] = []  # the keys of both, ascending
        self._recent: set[int] = set()
        self._n_seen = 0

    def seconds(self, n_tokens: int, context: float | None = None) -> float:
        """Of a step; an unseen size is as far from what was told as its neighbours are."""
        ratio = self._ratios.get(n_tokens)
        if ratio is None:
            ratio = self._between(n_tokens)
        return ratio * self._told(n_tokens, context)

    def observe_plain(
        self, n_tokens: int, seconds: float, context: Callable[[], float]
    ) -> float | None:
        """Take note of some of many steps of decode tokens; of what context, if it was noted."""
        self._n_plain += 1
        if self._n_plain > _ALL_TIMED and self._n_plain % _TIMED_EVERY:
            return None
        found = context()
        self.observe(n_tokens, seconds, found)
        return found

    def observe(self, n_tokens: int, seconds: float, context: float | None = None) -> None:
        """Take note of a step that was run."""
        if seconds <= 0:
            return
        ratio = seconds / self._told(n_tokens, context)
        known, count = self._ratios.get(n_tokens), self._counts.get(n_tokens, 0) + 1
        if known is None:
            insort(self._sizes, n_tokens)
        elif count <= _FIRST:
            ratio = min(ratio, known)
        else:
            ratio = known + (min(ratio, _OUTLIER * known) - known) / min(count, _MEMORY)
        self._ratios[n_tokens], self._counts[n_tokens] = ratio, count
        self._recent.add(n_tokens)
        self._n_seen += 1
        if self._n_seen % _FORGET == 0:
            self._forget()

    def _told(self, n_tokens: int, context: float | None) -> float:
        seconds: float = self._told_once(
            n_tokens, about(self._context if context is None else context)
        )
        return seconds

    def _between(self, n_tokens: int) -> float:
        """A line between the next smaller and the next larger size seen; 1 without any."""
        place = bisect_left(self._sizes, n_tokens)
        around = self._sizes[max(place - 1, 0) : place + 1]
        if not around:
            return 1.0
        below, above = self._ratios[around[0]], self._ratios[around[-1]]
        if len(around) == 1:
            return below
        return below + (above - below) * (n_tokens - around[0]) / (around[1] - around[0])

    def _forget(self) -> None:
        """All but the smallest, which the others are measured by."""
        for n in self._sizes[1:]:
            if n not in self._recent:
                del self._ratios[n], self._counts[n]
        self._sizes = sorted(self._ratios)
        self._recent.clear()
