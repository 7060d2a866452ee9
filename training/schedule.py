"""Warmup, stable, decay: the decay begins when most of the time budget is spent.

The budget is hours of training, not steps, so a run on any machine ends decayed and on time.
"""

from __future__ import annotations

from dataclasses import dataclass

_FLOOR = 0.02


@dataclass(frozen=True)
class Schedule:
    """`budget_s` seconds in all, of which the last `decay_share` decays linearly from `peak`."""

    budget_s: float
    decay_share: float = 0.3
    peak: float = 1.0
    warmup_steps: int = 100

    def rate(self, step: int, spent_s: float) -> float:
        """The learning rate's factor, 0 to `peak`, after `spent_s` seconds of training."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = (self.budget_s - spent_s) / (self.budget_s * self.decay_share)
        return self.peak * min(warm, max(_FLOOR, min(1.0, left)))

    def is_over(self, spent_s: float) -> bool:
        return spent_s >= self.budget_s
