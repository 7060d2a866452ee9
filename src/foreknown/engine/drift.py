"""Compares what steps take with what was told of them, and says how far promises may trust it.

Seconds are summed over windows of a quarter of a second of work. The ratio is that of the recent
windows, measured over told. Promises add to it what the last minute shows, from a window's end on,
since one that is broken costs more than one not made: a share, the margin, by which whole seconds
of work were slower; and some milliseconds, the stall, that a single step or window lost beyond it
to another tenant. What the least margin covers of a step is no stall, however long it is. The
margin remembers five minutes: a machine that was slow, and is as told for one, will be slow again.
So t seconds as told take no more than (ratio x (1 + margin)) t + stall.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from statistics import median

MARGIN = 0.05
"""Share by which steps are slower than told at most, where nobody knows."""
WINDOW_S = 0.25
MEMORY_S, _WINDOWS = 60.0, 240
"""What is remembered: for a minute, and a minute of work at most."""
LONG_MEMORY_S = 300.0
"""How long what was slow for seconds is remembered."""
_LONG = 4
"""Windows that show what is slow for long."""
_RECENT = 8
"""Windows that say what the machine is now."""
_ENOUGH = 4
"""Windows before which the ratio is what was told beforehand."""
LEAST_MARGIN, MOST_MARGIN = 0.03, 3.0
LEAST_STALL_S = 0.005
DRIFTED, STEADY = 0.15, 0.10
"""The ratio is off by so much: the machine has changed; by less than that: it is as told again."""


@dataclass(frozen=True)
class Window:
    """Steps that took some time together.

    Attributes:
        end_s: when it ended, by the engine's clock.
        told_s: what was told of them, together.
        took_s: what they took, without the longest stall.
        stall_s: the most that one of them took longer than they usually did, least margin included.
    """

    end_s: float
    told_s: float
    took_s: float
    stall_s: float


class Worst:
    """The greatest of what was seen in the last minute, or some other time; for any thread."""

    def __init__(self, memory_s: float = MEMORY_S) -> None:
        self._memory_s = memory_s
        self._seen: deque[tuple[float, float]] = deque()  # later ones are less
        self._lock = threading.Lock()

    def see(self, value: float, now_s: float) -> None:
        """Take note of a value."""
        with self._lock:
            seen = self._seen
            while seen and seen[-1][1] <= value:
                seen.pop()
            seen.append((now_s, value))
        self.forget(now_s)

    def forget(self, now_s: float) -> None:
        """Let what is too long ago count no more."""
        with self._lock:
            while self._seen and self._seen[0][0] < now_s - self._memory_s:
                self._seen.popleft()

    @property
    def value(self) -> float:
        """0 if nothing was seen."""
        with self._lock:
            return self._seen[0][1] if self._seen else 0.0


class Drift:
    """How far the machine is from what was told of it.

    Args:
        margin: share by which its steps are slower than told at most, when it is as told.

    Attributes:
        ratio: measured over told, of late; 1: as told.
        margin: share that promises add.
        stall_s: seconds that steps may lose at once.
        entry_s, exit_s: seconds that requests took, of late, from the decision about them to the
            engine, and that tokens took from there to whoever tells callers.
        calm: margin and stall_s of this machine when it is as told.
        has_drifted: whether the machine is no longer what was told.
        n_changes: how often that turned.
        clock_jumps: times that the time of day was set or the machine slept; promises count
            neither.
    """

    def __init__(self, margin: float = MARGIN) -> None:
        self.calm = (max(margin, LEAST_MARGIN), LEAST_STALL_S)
        self._windows: deque[Window] = deque(maxlen=_WINDOWS)
        self._slow = Worst(LONG_MEMORY_S)
        self._busy_s = 0.0
        self._steps: list[tuple[float, float]] = []  # of the window that is open
        self._long: list[tuple[float, float]] = []
        self.ratio = 1.0
        self.margin, self.stall_s = self.calm
        self.entry_s, self.exit_s = Worst(), Worst()
        self.has_drifted = False
        self.n_changes = self.clock_jumps = 0
        self._lock = threading.Lock()

    @classmethod
    def told(cls, margin: float) -> Drift:
        """Of a machine that is exactly as told, and of promises that add so much."""
        drift = cls()
        drift.margin, drift.stall_s = drift.calm = (margin, 0.0)
        return drift

    @property
    def allowance_s(self) -> float:
        """Seconds that promises add, whatever they are for."""
        return self.stall_s + self.entry_s.value + self.exit_s.value

    @property
    def slowest(self) -> float:
        """Times their forecast that steps take at most, as far as promises go."""
        return self.ratio * (1 + self.margin)

    def observe(
        self, told_s: float, took_s: float, busy_s: float | None = None, now_s: float = 0.0
    ) -> None:
        """Take note of a step.

        Args:
            busy_s: of it and of those before it that nobody took note of; None: there were none.
            now_s: when it ended, by the engine's clock.
        """
        self._busy_s += took_s if busy_s is None else busy_s
        if told_s > 0:
            self._steps.append((told_s, took_s))
        if self._busy_s >= WINDOW_S and self._steps:
            self._close_window(now_s)

    def forget(self, now_s: float) -> None:
        """Let what is too long ago count no more, also if little has run since; from any thread.

        A machine of which nothing is left is as told, but for the margin, which remembers longer.
        """
        for worst in (self.entry_s, self.exit_s):
            worst.forget(now_s)
        with self._lock:
            slow, n_windows = self._slow.value, len(self._windows)
            self._slow.forget(now_s)
            self._drop_windows(now_s)
            if (self._slow.value, len(self._windows)) != (slow, n_windows):
                self._weigh()

    def forgotten_s(self, now_s: float) -> float:
        """Seconds until `forget` would leave no window, if nothing else ran."""
        with self._lock:
            return max(self._windows[-1].end_s + MEMORY_S - now_s, 0.0) if self._windows else 0.0

    def observe_long(self, told_s: float, took_s: float) -> None:
        """Take note of a step only because it took long."""
        self._long.append((told_s, took_s))

    def _close_window(self, now_s: float) -> None:
        told_s, took_s = (sum(seconds) for seconds in zip(*self._steps, strict=True))
        usual = median(took / told for told, took in self._steps)
        slow = usual * (1 + self.calm[0])
        lost_s = max(0.0, *(took - slow * told for told, took in self._steps))
        stall_s = max(0.0, lost_s, *(took - slow * told for told, took in self._long))
        share = self._busy_s / took_s  # those that nobody took note of were like these
        window = Window(now_s, told_s * share, self._busy_s - lost_s, stall_s)
        self._busy_s = 0.0
        self._steps.clear()
        self._long.clear()
        with self._lock:
            self._windows.append(window)
            self._drop_windows(now_s)
            self._weigh(now_s)

    def _drop_windows(self, now_s: float) -> None:
        while self._windows and self._windows[0].end_s < now_s - MEMORY_S:
            self._windows.popleft()

    def _weigh(self, closed_s: float | None = None) -> None:
        """Say what the machine is, of the windows that are left.

        Args:
            closed_s: when the last of them ended, if it has just come.
        """
        windows = list(self._windows)
        if len(windows) >= _ENOUGH:
            recent = windows[-_RECENT:]
            self.ratio = median((one.took_s + one.stall_s) / one.told_s for one in recent)
        elif not windows:
            self.ratio = 1.0
        least_margin, least_stall_s = self.calm
        ratios = [_long_ratio(windows, end, self.ratio) for end in range(1, len(windows) + 1)]
        if closed_s is not None and len(windows) >= _LONG:
            self._slow.see(ratios[-1], closed_s)
        slow = max((*ratios, self._slow.value))
        self.margin = min(max(slow / self.ratio - 1, least_margin), MOST_MARGIN)
        lost = (one.took_s - self.slowest * one.told_s for one in windows)
        self.stall_s = max((least_stall_s, *lost, *(one.stall_s for one in windows)))
        off = abs(self.ratio - 1)
        if off > DRIFTED if not self.has_drifted else off < STEADY:
            self.has_drifted = not self.has_drifted
            self.n_changes += 1


def _long_ratio(windows: list[Window], end: int, usual: float) -> float:
    """Of the windows before one, as many as show what is slow for long; those before the first
    count as if they had been as usual."""
    some = windows[max(end - _LONG, 0) : end]
    missing_s = WINDOW_S * (_LONG - len(some))
    told_s = sum(one.told_s for one in some) + missing_s
    return (sum(one.took_s for one in some) + usual * missing_s) / told_s
