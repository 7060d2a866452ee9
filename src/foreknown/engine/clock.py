"""The clock that scheduling sees; a forecast gives the same scheduler a virtual one."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Nanoseconds from an arbitrary start, never running backwards."""

    def now_ns(self) -> int: ...


class MonotonicClock:
    """The machine's own clock."""

    def now_ns(self) -> int:
        return time.monotonic_ns()
