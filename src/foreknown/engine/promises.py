"""What a caller wants kept, what it is promised, and when that is due."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from foreknown.errors import RequestError

LONGEST_MS = 24 * 3600 * 1e3
"""Nobody is promised anything for later than a day."""
MS = 1_000_000


@dataclass(frozen=True)
class Objective:
    """What a caller wants kept, in milliseconds after its request arrived; None: whatever comes.

    Attributes:
        deadline_ms: until the last token.
        ttft_ms: until the first token.
        tpot_ms: from one token to the next, the mean over those that came so far.

    Raises:
        RequestError: nothing is asked for, or a time that is not above zero and within a day.
    """

    deadline_ms: float | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None

    def __post_init__(self) -> None:
        given = {
            "deadline_ms": self.deadline_ms,
            "ttft_ms": self.ttft_ms,
            "tpot_ms": self.tpot_ms,
        }
        if all(value is None for value in given.values()):
            raise RequestError("an objective says nothing", remedy=f"give {', '.join(given)}")
        for name, value in given.items():
            if value is None:
                continue
            is_time = not isinstance(value, bool) and math.isfinite(value)
            if not is_time or not 0 < value <= LONGEST_MS:
                raise RequestError(
                    f"{name} is {value}, where milliseconds above 0 and up to "
                    f"{LONGEST_MS:.0f}, a day, are expected",
                    remedy="it counts from the request's arrival",
                    field=name,
                )


@dataclass(frozen=True)
class Promise:
    """What will be kept: an objective that was reserved in the schedule; see `Objective`."""

    ttft_ms: float | None
    tpot_ms: float | None
    total_ms: float | None

    @classmethod
    def of(cls, objective: Objective) -> Promise:
        """What is promised when an objective is."""
        return cls(objective.ttft_ms, objective.tpot_ms, objective.deadline_ms)

    def kept(self, ttft_ms: float | None, tpot_ms: float | None, total_ms: float | None) -> bool:
        """Whether it was; what an answer of one token or none does not have is kept."""
        pairs = (
            (self.ttft_ms, ttft_ms),
            (self.tpot_ms, tpot_ms),
            (self.total_ms, total_ms),
        )
        return all(p is None or a is None or a <= p for p, a in pairs)


@dataclass(frozen=True)
class Foreseen:
    """What a request will take if it comes now, at its greatest length, in milliseconds.

    Attributes:
        ttft_ms: until its first token.
        tpot_ms: from one token to the next, in the mean; 0 for a single one.
        total_ms: until its last token.
        low_ms: the same if everybody else ended at once.
        high_ms: the same if this machine errs to its margin.
    """

    ttft_ms: float
    tpot_ms: float
    total_ms: float
    low_ms: float
    high_ms: float


class NotPromised(RequestError):
    """An objective cannot be kept.

    Attributes:
        earliest: what could be promised now, or once `wait_ms` have passed, counted from now.
        calm: what could be if nobody else was there and the machine was as calibrated.
        wait_ms: until those have ended whom it would slow too much, wherever it came; 0: nobody.
        forgotten_ms: until a machine on which it would be late alone counts as calibrated again.
        never: whether not even that would do.
    """

    def __init__(
        self,
        objective: Objective,
        earliest: Foreseen,
        calm: Foreseen,
        wait_ms: float = 0.0,
        forgotten_ms: float = 0.0,
    ) -> None:
        self.earliest, self.calm = earliest, calm
        self.wait_ms, self.forgotten_ms = wait_ms, forgotten_ms
        self.never = self.is_beyond(objective)
        if self.never:
            what = (
                "this cannot be kept even on an idle machine: there the first token is safe after "
                f"{calm.ttft_ms:.1f} ms, the last after {calm.total_ms:.1f} ms, and "
                f"{calm.tpot_ms:.2f} ms lie between two"
            )
            super().__init__(what, remedy="ask for fewer tokens or more time")
            return
        what = (
            "this cannot be promised beside what was promised before; what could be is the first "
            f"token after {earliest.ttft_ms:.1f} ms and the last after {earliest.total_ms:.1f} ms"
        )
        later = f"ask again after {wait_ms:.0f} ms"
        super().__init__(what, remedy=later if wait_ms else "ask for that, or ask again later")

    def is_beyond(self, objective: Objective) -> bool:
        """Whether an objective could not even be kept on an idle and calm machine."""
        calm = self.calm
        return not Promise.of(objective).kept(calm.ttft_ms, calm.tpot_ms, calm.total_ms)


class Commitment(NamedTuple):
    """When what was promised is due, by the engine's clock; None: never.

    Attributes:
        order_ns: those with a lower one are served first.
        first_ns: the first token.
        pace_ns: mean from one token to the next, at any time.
        last_ns: the last token.
    """

    order_ns: int
    first_ns: int | None
    pace_ns: float | None
    last_ns: int | None

    def early_ns(self, n_output: int, now_ns: int, *, is_last: bool) -> float:
        """By how much a token comes before what is due; negative: it is too late.

        What has no tokens, such as an embedding, comes as a first one would.
        """
        early = math.inf
        if n_output <= 1 and self.first_ns is not None:
            early = self.first_ns - now_ns
        if is_last and self.last_ns is not None:
            early = min(early, self.last_ns - now_ns)
        return early

    def ahead_ns(self, n_output: int, first_ns: int, now_ns: int) -> float:
        """By how much a token is ahead of the pace since the first one came."""
        if self.pace_ns is None or n_output < 2:
            return math.inf
        return self.pace_ns * (n_output - 1) - (now_ns - first_ns)


def committed(objective: Objective, arrival_ns: int, *, whole: bool = False) -> Commitment:
    """When an objective is due; served in the order in which something is first due.

    Args:
        whole: all tokens are told at once: then the last is due when the first is.
    """
    first, last = (
        None if ms is None else arrival_ns + round(ms * MS)
        for ms in (objective.ttft_ms, objective.deadline_ms)
    )
    pace = None if objective.tpot_ms is None else objective.tpot_ms * MS
    due = [time for time in (first, last) if time is not None]
    if whole:
        first, pace, last = None, None, min(due, default=None)
    return Commitment(min(due) if due else arrival_ns, first, pace, last)
