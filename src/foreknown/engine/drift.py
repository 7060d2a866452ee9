"""Compares what steps take with what was told of them, and says how far promises may trust it.

Seconds are summed over windows of a quarter of a second of work. The ratio is that of the recent
windows, measured over told; what promises add to it, the margin, covers the worst window of the
last minute of work, from its end on: a promise that is broken costs more than one not made. A
stall, time that one step lost to another tenant, is covered by itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

NOISE = 0.05
"""How far measurements of a machine stray, as a share, where nobody knows."""
WINDOW_S = 0.25
_WINDOWS = 240
"""Windows that are remembered: a minute of work."""
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
        ratio: measured over told.
        calm: the same, had the longest stall not been.
        stall_s: the most that one of them took longer than they usually did.
    """

    ratio: float
    calm: float
    stall_s: float


class Drift:
    """How far the machine is from what was told of it.

    Args:
        noise: how far measurements of it strayed when it was calibrated, as a share.

    Attributes:
        ratio: measured over told, of late; 1: as told.
        margin: share that promises add.
        stall_s: seconds that promises add, whatever they are for.
        calm: margin and stall_s of this machine when it is as told.
        has_drifted: whether the machine is no longer what was told.
        n_changes: how often that turned.
        clock_jumps: times that the time of day was set or the machine slept; promises count
            neither.
    """

    def __init__(self, noise: float = NOISE) -> None:
        self.calm = (max(noise, LEAST_MARGIN), LEAST_STALL_S)
        self._windows: deque[Window] = deque(maxlen=_WINDOWS)
        self._busy_s = 0.0
        self._steps: list[tuple[float, float]] = []  # of the window that is open
        self._long: list[tuple[float, float]] = []
        self.ratio = 1.0
        self.margin, self.stall_s = self.calm
        self.has_drifted = False
        self.n_changes = self.clock_jumps = 0

    @classmethod
    def told(cls, margin: float) -> Drift:
        """Of a machine that is exactly as told, and of promises that add so much."""
        drift = cls()
        drift.margin, drift.stall_s = drift.calm = (margin, 0.0)
        return drift

    @property
    def slowest(self) -> float:
        """Times their forecast that steps take at most, as far as promises go."""
        return self.ratio * (1 + self.margin)

    def observe(self, told_s: float, took_s: float, busy_s: float | None = None) -> None:
        """Take note of a step.

        Args:
            busy_s: of it and of those before it that nobody took note of; None: there were none.
        """
        self._busy_s += took_s if busy_s is None else busy_s
        if told_s > 0:
            self._steps.append((told_s, took_s))
        if self._busy_s >= WINDOW_S and self._steps:
            self._close_window()

    def observe_long(self, told_s: float, took_s: float) -> None:
        """Take note of a step only because it took long."""
        self._long.append((told_s, took_s))

    def _close_window(self) -> None:
        told_s, took_s = (sum(seconds) for seconds in zip(*self._steps, strict=True))
        usual = median(took / told for told, took in self._steps)
        lost = max(took - usual * told for told, took in self._steps)
        stall_s = max(lost, *(took - usual * told for told, took in self._long), 0.0)
        self._windows.append(Window(took_s / told_s, (took_s - lost) / told_s, stall_s))
        self._busy_s = 0.0
        self._steps.clear()
        self._long.clear()
        self._weigh()

    def _weigh(self) -> None:
        worst = max(window.calm for window in self._windows)
        if len(self._windows) >= _ENOUGH:
            recent = [window.ratio for window in self._windows][-_RECENT:]
            self.ratio = median(recent)
        least_margin, least_stall_s = self.calm
        self.margin = min(max(worst / self.ratio - 1, least_margin), MOST_MARGIN)
        self.stall_s = max(least_stall_s, *(window.stall_s for window in self._windows))
        off = abs(self.ratio - 1)
        if off > DRIFTED if not self.has_drifted else off < STEADY:
            self.has_drifted = not self.has_drifted
            self.n_changes += 1
