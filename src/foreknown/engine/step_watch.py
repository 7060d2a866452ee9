"""Holds what steps take against what was told of them, and the clock against others."""

from __future__ import annotations

from collections.abc import Sequence as Chunks
from typing import Any

from foreknown.engine.chunk import Chunk, P, shape_of
from foreknown.engine.clock import ClockWatch
from foreknown.engine.drift import LEAST_STALL_S, Drift
from foreknown.plan.price import Price

LOOK_EVERY_NS = 16_000_000
"""Steps are compared with what was told of them so often at most: to look takes time, too."""
LONG_NS = round(LEAST_STALL_S * 1e9)
"""A step that took longer is looked at in any case, even if only when it is over."""


class StepWatch:
    """Shows steps to a drift.

    Args:
        price: what steps take, as forecast; None: nobody knows, so there is nothing to compare.
    """

    def __init__(self, price: Price | None, drift: Drift) -> None:
        self._price, self._drift = price, drift
        self._clocks = ClockWatch()
        self._chunks: Chunks[Chunk[Any]] = ()  # of the step before, unless there was a pause
        self._start_ns = self._busy_ns = self._next_look_ns = 0
        self._told_s = 0.0  # of that step, if it is looked at

    def begin(self, chunks: Chunks[Chunk[P]], start_ns: int) -> None:
        """A step begins, and the one before took until now; no chunks: there is none."""
        if self._price is None:
            return
        if self._chunks:
            took_ns = start_ns - self._start_ns
            self._busy_ns += took_ns
            if self._told_s or took_ns > LONG_NS:
                self._tell(self._price, took_ns / 1e9, start_ns / 1e9)
        self._chunks, self._start_ns, self._told_s = chunks, start_ns, 0.0
        if chunks and start_ns >= self._next_look_ns:
            self._next_look_ns = start_ns + LOOK_EVERY_NS
            self._clocks.look(start_ns)
            self._drift.clock_jumps = self._clocks.n_jumps
            self._told_s = self._price.seconds(shape_of(chunks))

    def idle(self) -> None:
        """Nobody waits for the next step, so when it begins tells nothing of this one."""
        self._chunks = ()

    def _tell(self, price: Price, took_s: float, now_s: float) -> None:
        """Show the drift a step that is over."""
        if self._told_s:
            self._drift.observe(self._told_s, took_s, self._busy_ns / 1e9, now_s)
            self._busy_ns = 0
        else:  # told with contexts that are a step longer, for want of better
            self._drift.observe_long(price.seconds(shape_of(self._chunks)), took_s)
