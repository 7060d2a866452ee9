"""What a strategy showed on a task in one setting: how often it was right, and what that took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import Any

from foreknown.evaluation.intervals import Interval, paired_difference, wilson
from foreknown.evaluation.reply import Judged, Setting, budget_record

SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Measured:
    """All replies to a task's questions in one setting.

    Attributes:
        task: its name.
        judged: the replies, at least one.
        baseline: whether the baseline's replies to the same questions are right.
        watts: that the machine draws while it works; 0: not known.
        usd_per_hour: what it costs; 0: nobody said.
    """

    task: str
    setting: Setting
    judged: Sequence[Judged]
    baseline: Sequence[bool]
    watts: float = 0.0
    usd_per_hour: float = 0.0

    @property
    def n(self) -> int:
        return len(self.judged)

    @cached_property
    def n_right(self) -> int:
        return sum(one.is_right for one in self.judged)

    @property
    def accuracy(self) -> float:
        """From 0 to 1."""
        return self.n_right / self.n

    @cached_property
    def interval(self) -> Interval:
        """Of the accuracy, 95 %."""
        return wilson(self.n_right, self.n)

    @cached_property
    def gain(self) -> Interval:
        """Of the accuracy over the baseline's, 95 %."""
        return paired_difference([one.is_right for one in self.judged], self.baseline)

    @property
    def gained(self) -> float:
        """Accuracy over the baseline's."""
        return self.accuracy - fmean(self.baseline)

    @property
    def tokens(self) -> float:
        """Of an answer, in the mean."""
        return fmean(one.reply.n_tokens for one in self.judged)

    @cached_property
    def timed(self) -> list[float]:
        """Seconds of the answers that had the engine to themselves."""
        return [one.reply.seconds for one in self.judged if one.reply.seconds is not None]

    @property
    def seconds(self) -> float | None:
        """Of an answer, in the mean over those that were timed; None: none was."""
        return fmean(self.timed) if self.timed else None

    @property
    def joules(self) -> float | None:
        """Of an answer, in the mean; None: not known."""
        return self.seconds * self.watts if self.seconds is not None and self.watts else None

    @property
    def usd(self) -> float | None:
        """Of an answer, in the mean; None: not known."""
        if self.seconds is None or not self.usd_per_hour:
            return None
        return self.seconds * self.usd_per_hour / 3600

    @cached_property
    def forecast(self) -> float | None:
        """Seconds that answers were told to take at most, in the mean; None: nothing was told."""
        told = [one.reply.plan.seconds for one in self.judged if one.reply.plan is not None]
        return fmean(told) if told else None

    @cached_property
    def ratios(self) -> list[float]:
        """Measured over told, of each answer that was timed."""
        pairs = [(one.reply.seconds, one.reply.plan) for one in self.judged]
        return [s / p.seconds for s, p in pairs if s is not None and p and p.seconds]

    @property
    def n_less(self) -> int:
        """Answers for which less was done than asked, to fit the budget."""
        plans = (one.reply.plan for one in self.judged)
        return sum(plan is not None and plan.call != self.setting.call for plan in plans)

    @property
    def n_cut(self) -> int:
        """Answers that the budget cut short."""
        return sum(one.reply.reach is not None for one in self.judged)

    @property
    def n_late(self) -> int:
        """Answers that took longer than their deadline."""
        most_ms = self.setting.budget.deadline_ms
        return 0 if most_ms is None else sum(1e3 * seconds > most_ms for seconds in self.timed)

    def record(self) -> dict[str, Any]:
        """As `evaluate --json` prints it; seconds, joules and usd are of one answer."""
        failures = [one.failure for one in self.judged if one.failure]
        return {
            "task": self.task,
            "strategy": str(self.setting.call),
            "baseline": self.setting.is_baseline,
            "budget": budget_record(self.setting.budget),
            "n": self.n,
            "right": self.n_right,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "gain": self.gained,
            "gain_interval": list(self.gain),
            "tokens": self.tokens,
            "seconds": self.seconds,
            "timed": len(self.timed),
            "joules": self.joules,
            "usd": self.usd,
            "forecast": {
                "seconds": self.forecast,
                "median_ratio": median(self.ratios) if self.ratios else None,
                "exceeded": sum(ratio > 1 for ratio in self.ratios),
            },
            "did_less": self.n_less,
            "cut_short": self.n_cut,
            "late": self.n_late,
            "unjudged": sum(one.reply.n_unjudged for one in self.judged),
            "lost": len(failures),
            "failures": failures[:SHOWN_FAILURES],
        }
