"""What an answer may take, and how much of a strategy fits into it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from foreknown.engine.promises import LONGEST_MS
from foreknown.errors import RequestError
from foreknown.strategies.compose import with_effort
from foreknown.strategies.cost import Cost
from foreknown.strategies.expression import Call

HALVINGS = 6
"""Of the effort that fits, by its logarithm, to find it: few first, whose cost is soon told."""
LEAST_SHARE = 1 / 256


@dataclass(frozen=True)
class Budget:
    """Limits of one answer; None: none.

    Attributes:
        deadline_ms: from its start to its end.
        max_tokens: that come out, of all drafts together.
        max_joules: that the machine draws meanwhile.
        max_usd: that it costs meanwhile.

    Raises:
        RequestError: a limit that is not above zero, or a deadline after more than a day.
    """

    deadline_ms: float | None = None
    max_tokens: int | None = None
    max_joules: float | None = None
    max_usd: float | None = None

    def __post_init__(self) -> None:
        for name in ("deadline_ms", "max_tokens", "max_joules", "max_usd"):
            value = getattr(self, name)
            if value is None:
                continue
            is_number = not isinstance(value, bool) and math.isfinite(value)
            if not is_number or value <= 0 or (name == "deadline_ms" and value > LONGEST_MS):
                raise RequestError(
                    f"{name} is {value}, where a number above 0 is expected",
                    remedy="leave it out for no limit",
                    field=name,
                )

    def seconds(self, watts: float, usd_per_hour: float) -> float:
        """The longest that an answer may take on a machine that has nothing else to do.

        Args:
            watts: drawn while it works.
            usd_per_hour: what it costs; 0: nobody said, so no price limits anything.
        """
        limits = [math.inf]
        if self.deadline_ms is not None:
            limits.append(self.deadline_ms / 1e3)
        if self.max_joules is not None and watts > 0:
            limits.append(self.max_joules / watts)
        if self.max_usd is not None and usd_per_hour > 0:
            limits.append(self.max_usd / usd_per_hour * 3600)
        return min(limits)


@dataclass(frozen=True)
class Fitted:
    """As much of a strategy as a budget has room for.

    Attributes:
        call: the strategy with the effort that fits.
        cost: what it takes at most.
        fits: whether that is within the budget; if not, the best so far comes when it ends.
        planning_s: seconds that it took to find out.
    """

    call: Call
    cost: Cost
    fits: bool
    planning_s: float = 0.0

    @property
    def seconds(self) -> float:
        """From the question to the answer, at most."""
        return self.planning_s + self.cost.seconds


def fitted(
    call: Call,
    cost_of: Callable[[Call, float, float], Cost],
    seconds: float,
    max_tokens: float,
    is_late: Callable[[], bool] = lambda: False,
) -> Fitted:
    """The most effort of a strategy that a budget has room for.

    Args:
        cost_of: what a strategy takes at most, as far as it is within so many seconds and tokens.
        seconds, max_tokens: there are.
        is_late: whether to look no further.
    """

    def holds(cost: Cost) -> bool:
        return cost.seconds <= seconds and cost.n_tokens <= max_tokens

    whole = cost_of(call, seconds, max_tokens)
    if holds(whole):
        return Fitted(call, whole, fits=True)
    least = with_effort(call, 0.0)
    least_cost = cost_of(least, math.inf, math.inf)
    best = Fitted(least, least_cost, fits=holds(least_cost))
    low, high = LEAST_SHARE, 1.0
    for _ in range(HALVINGS if best.fits else 0):
        if is_late():
            break
        middle = math.sqrt(low * high)
        tried = with_effort(call, middle)
        cost = cost_of(tried, seconds, max_tokens)
        if holds(cost):
            best, low = Fitted(tried, cost, fits=True), middle
        else:
            high = middle
    return best
