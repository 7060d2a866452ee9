"""The clocks: the one that scheduling sees, of which a forecast has its own; and who watches it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

EVERY_NS = 1_000_000_000
LARGEST_STEP_NS = 500_000_000
"""Other clocks may differ by so much from one look to the next: the system's is being corrected."""


class Clock(Protocol):
    """Nanoseconds from an arbitrary start, never running backwards."""

    def now_ns(self) -> int: ...


class MonotonicClock:
    """The machine's own clock, which nobody sets, and which stands still while it sleeps."""

    def now_ns(self) -> int:
        return time.monotonic_ns()


def _others_ns() -> tuple[int, ...]:
    """Clocks that jump when somebody sets the time, and when the machine wakes up."""
    return time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class ClockWatch:
    """Tells when the time of day was set, or the machine slept: promises count neither.

    Args:
        others_ns: clocks that are compared with the one that is watched.
    """

    def __init__(self, others_ns: Callable[[], tuple[int, ...]] = _others_ns) -> None:
        self._others_ns = others_ns
        self._ahead_ns: tuple[int, ...] | None = None
        self._next_ns = 0
        self.n_jumps = 0

    def look(self, now_ns: int) -> None:
        """Compare, at most once a second.

        Args:
            now_ns: by the clock that is watched.
        """
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + EVERY_NS
        ahead_ns = tuple(other - now_ns for other in self._others_ns())
        if self._ahead_ns is not None:
            steps = [abs(a - b) for a, b in zip(ahead_ns, self._ahead_ns, strict=True)]
            self.n_jumps += max(steps) > LARGEST_STEP_NS
        self._ahead_ns = ahead_ns
