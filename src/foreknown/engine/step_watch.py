"""Holds what steps take against what was told of them, and the clock against others."""

from __future__ import annotations

from collections.abc import Sequence as Chunks

from foreknown.engine.chunk import Chunk, P, shape_of
from foreknown.engine.clock import ClockWatch
from foreknown.engine.drift import Drift
from foreknown.plan.price import Price

LOOK_EVERY_NS = 2_000_000
"""Steps are compared with what was told of them so often at most: to look takes time, too."""


class StepWatch:
    """Shows steps to a drift.

    Args:
        price: what steps take, as forecast; None: nobody knows, so there is nothing to compare.
    """

    def __init__(self, price: Price | None, drift: Drift) -> None:
        self._price, self._drift = price, drift
        self._clocks = ClockWatch()
        self._looked_at: tuple[float, int] | None = None  # told seconds, and start, of a step
        self._next_look_ns = 0

    def begin(self, chunks: Chunks[Chunk[P]], start_ns: int) -> None:
        """A step begins, and the one before took until now; no chunks: there is none."""
        if self._looked_at is not None:
            told_s, then_ns = self._looked_at
            self._looked_at = None
            self._drift.observe(told_s, (start_ns - then_ns) / 1e9)
        if not chunks or self._price is None or start_ns < self._next_look_ns:
            return
        self._next_look_ns = start_ns + LOOK_EVERY_NS
        self._clocks.look(start_ns)
        self._drift.clock_jumps = self._clocks.n_jumps
        self._looked_at = self._price.seconds(shape_of(chunks)), start_ns

    def idle(self) -> None:
        """Nobody waits for the next step, so when it begins tells nothing of this one."""
        self._looked_at = None
