"""Compares what steps take with what was told of them, and says how far promises may trust it.

Seconds are summed over windows of a quarter of a second of work. The ratio is that of the recent
windows, measured over told; what promises add to it, the margin, covers how far single windows
strayed from it. A stall, time that one step lost to another tenant, is covered by itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

NOISE = 0.05
"""How far measurements of a machine stray, as a share, where nobody knows."""
WINDOW_S = 0.25
_WINDOWS = 64
"""Windows that are remembered: some 16 seconds of work."""
_RECENT = 8
"""Windows that say what the machine is now."""
_ENOUGH = 4
"""Windows before which only what was told beforehand counts."""
LEAST_MARGIN, MOST_MARGIN = 0.03, 1.0
LEAST_STALL_S = 0.005
DRIFTED, STEADY = 0.15, 0.10
"""The ratio is off by so much: the machine has changed; by less than that: it is as told again."""


@dataclass(frozen=True)
class Window:
    """Steps that took some time together.

    Attributes:
        ratio: measured over told.
        stall_s: the most that one of them took longer than such a ratio would have it.
    """

    ratio: float
    stall_s: float


class Drift:
    """How far the machine is from what was told of it.

    Args:
        noise: how far measurements of it strayed when it was calibrated, as a share.

    Attributes:
        ratio: measured over told, of late; 1: as told.
        margin: share that promises add.
        stall_s: seconds that promises add, whatever they are for.
        has_drifted: whether the machine is no longer what was told.
        n_changes: how often that turned.
        clock_jumps: times that the time of day was set or the machine slept; promises count
            neither.
    """

    def __init__(self, noise: float = NOISE) -> None:
        self._noise = max(noise, LEAST_MARGIN)
        self._windows: deque[Window] = deque(maxlen=_WINDOWS)
        self._told_s = self._took_s = 0.0
        self._steps: list[tuple[float, float]] = []  # of the window that is open
        self.ratio, self.margin, self.stall_s = 1.0, self._noise, LEAST_STALL_S
        self.has_drifted = False
        self.n_changes = self.clock_jumps = 0

    @classmethod
    def told(cls, margin: float) -> Drift:
        """Of a machine that is exactly as told, and of promises that add so much."""
        drift = cls()
        drift.margin, drift.stall_s = margin, 0.0
        return drift

    def observe(self, told_s: float, took_s: float) -> None:
        """Take note of a step."""
        self._told_s += told_s
        self._took_s += took_s
        self._steps.append((told_s, took_s))
        if self._took_s >= WINDOW_S and self._told_s > 0:
            self._close_window()

    def _close_window(self) -> None:
        ratio = self._took_s / self._told_s
        usual = median(took / told for told, took in self._steps if told > 0)
        stall_s = max(took - usual * told for told, took in self._steps)
        self._windows.append(Window(ratio, max(stall_s, 0.0)))
        self._told_s = self._took_s = 0.0
        self._steps.clear()
        if len(self._windows) >= _ENOUGH:
            self._weigh()

    def _weigh(self) -> None:
        ratios = [window.ratio for window in self._windows]
        self.ratio = median(ratios[-_RECENT:])
        strayed = sorted(max(ratio / self.ratio - 1, 0.0) for ratio in ratios)
        margin = strayed[int(0.95 * (len(strayed) - 1))]
        self.margin = min(max(margin, self._noise), MOST_MARGIN)
        self.stall_s = max(LEAST_STALL_S, *(window.stall_s for window in self._windows))
        off = abs(self.ratio - 1)
        if off > DRIFTED if not self.has_drifted else off < STEADY:
            self.has_drifted = not self.has_drifted
            self.n_changes += 1
