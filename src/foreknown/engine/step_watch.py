"""Holds what steps take against what was told of them, and the clock against others."""

from __future__ import annotations

from collections.abc import Sequence as Chunks
from typing import Any

from foreknown.engine.chunk import Chunk, P, shape_of
from foreknown.engine.clock import ClockWatch
from foreknown.engine.drift import LEAST_STALL_S, Drift
from foreknown.plan.price import Price

LOOK_EVERY_NS = 2_000_000
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
            self._end(self._price, start_ns)
        self._chunks, self._start_ns, self._told_s = chunks, start_ns, 0.0
        if chunks and start_ns >= self._next_look_ns:
            self._next_look_ns = start_ns + LOOK_EVERY_NS
            self._clocks.look(start_ns)
            self._drift.clock_jumps = self._clocks.n_jumps
            self._told_s = self._price.seconds(shape_of(chunks))

    def idle(self) -> None:
        """Nobody waits for the next step, so when it begins tells nothing of this one."""
        self._chunks = ()

    def _end(self, price: Price, now_ns: int) -> None:
        took_ns = now_ns - self._start_ns
        self._busy_ns += took_ns
        if self._told_s:
            took_s, busy_s = took_ns / 1e9, self._busy_ns / 1e9
            self._drift.observe(self._told_s, took_s, busy_s, now_ns / 1e9)
            self._busy_ns = 0
        elif took_ns > LONG_NS:  # told with contexts that are a step longer, for want of better
            self._drift.observe_long(price.seconds(shape_of(self._chunks)), took_ns / 1e9)
