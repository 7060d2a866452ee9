"""Engines that share a machine's processors and take their steps in turns, in one thread.

Whatever the turns, all that was promised on one engine is delayed by no more than what was promised
on the others takes, and by steps for those who were promised nothing. So a promise is made if what
was promised, here and there, bears the former; and the latter are taken only while there is time to
spare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from foreknown.engine.engine import Engine

LOOK_AGAIN_NS = 20_000_000
"""How often it is looked at what is to spare, while only some were promised a time."""


class Outstanding(NamedTuple):
    """What was promised on one engine and has not come to its end.

    Attributes:
        spare_s: seconds by which all of it may come later.
        work_s: seconds that it takes at most, if nothing else runs.
    """

    spare_s: float
    work_s: float


class Elsewhere(NamedTuple):
    """What is outstanding on other engines, one for each that has promised something."""

    each: tuple[Outstanding, ...] = ()

    @property
    def work_s(self) -> float:
        """Seconds that all of it takes at most."""
        return sum(one.work_s for one in self.each)

    def late_s(self, work_s: float = 0.0) -> float:
        """Seconds by which some of it comes too late beside more work; negative: to spare."""
        every_s = self.work_s + work_s
        return max((every_s - one.work_s - one.spare_s for one in self.each), default=-math.inf)


class Turns:
    """Says which of some engines may take a step.

    Args:
        engines: all that share the machine; each is told of the others.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)
        self._look_again_ns = 0
        if len(engines) > 1:
            for engine in engines:
                engine.share([one for one in engines if one is not engine])

    def may_step(self, engine: Engine) -> bool:
        """Whether an engine's next step, if it is for nobody who was promised a time, leaves time
        enough for what others were promised."""
        others = [one.scheduler for one in self._engines if one.holds_promises]
        if engine.holds_promises or not others:
            return True
        now_ns = engine.clock.now_ns()
        if now_ns >= self._look_again_ns:
            outstanding = (one.outstanding() for one in self._engines)
            spare_s = -Elsewhere(tuple(one for one in outstanding if one is not None)).late_s()
            for other in others:
                other.spare_s = spare_s
            self._look_again_ns = now_ns + LOOK_AGAIN_NS
        seconds = engine.longest_step_s()
        if seconds > min(other.spare_s for other in others):
            return False
        for other in others:
            other.spare_s -= seconds
        return True
