"""The load that a machine carries: the largest rate of requests at which enough meet an objective.

Arrivals are a trace's, faster or slower; everybody is served, in order. Of a rate that is carried
and one that is not, the middle (of their logarithms) is tried until they are close.

Users are those who ask, wait for the answer, think, and ask again. By Little's law

    users = requests a second * (mean seconds of an answer + seconds of thinking)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, TextIO

from foreknown.engine.promises import Objective, Promise
from foreknown.engine.rehearsal import Outcome
from foreknown.errors import RequestError
from foreknown.report.simulation import Served, Simulation, e2e_ms, simulate, tpot_ms, ttft_ms
from foreknown.report.tables import Table, seconds_text
from foreknown.report.traffic import LONGEST_YEARS, YEAR_S, Traffic

CLOSE = 1.02
"""A rate that is carried and one that is not, so many times as large: that is close enough."""
_FASTEST = 2.0**16
"""Times the rate of a full load: nothing is asked about what lies beyond."""
_IDLE = 0.01
"""A machine that is busy for so small a share answers nobody sooner if it has still less to do."""


@dataclass(frozen=True)
class Goal:
    """What is to be kept, and for how many.

    Attributes:
        attain: share of the requests that must meet the objective, above 0 and up to 1.

    Raises:
        RequestError: no such share.
    """

    objective: Objective
    attain: float

    def __post_init__(self) -> None:
        if not 0 < self.attain <= 1:
            raise RequestError(
                f"attain is {self.attain}, where a share above 0 and up to 1 is expected",
                remedy="0.99 asks for 99 of 100 requests",
                field="attain",
            )

    def is_met(self, outcome: Outcome) -> bool:
        """Whether an answer was in time."""
        wanted = self.objective
        promise = Promise(wanted.ttft_ms, wanted.tpot_ms, wanted.deadline_ms)
        return promise.kept(ttft_ms(outcome), tpot_ms(outcome), e2e_ms(outcome))


@dataclass(frozen=True)
class Point:
    """One rate that was tried.

    Attributes:
        requests_s: a second, offered.
        attained: share of the requests that met the objective.
        answer_s: mean from a request to the end of its answer.
        utilisation: share of the time in which the machine was busy.
    """

    requests_s: float
    attained: float
    answer_s: float
    utilisation: float


@dataclass(frozen=True)
class Load:
    """What was found.

    Attributes:
        name: of the model, for people.
        points: all that were tried, by rate.
        carried: the largest rate that keeps the goal; None: not even the slowest does.
        is_bounded: whether a larger rate was seen that does not.
        think_s: from a user's answer to its next request.
    """

    name: str
    goal: Goal
    points: tuple[Point, ...]
    carried: Point | None
    is_bounded: bool
    think_s: float

    @property
    def requests_s(self) -> float:
        return self.carried.requests_s if self.carried else 0.0

    @property
    def users(self) -> int:
        """Who ask, wait, think and ask again."""
        one = self.carried
        return math.floor(one.requests_s * (one.answer_s + self.think_s)) if one else 0

    @property
    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "model": self.name,
            "objective": vars(self.goal.objective),
            "attain": self.goal.attain,
            "requests_s": round(self.requests_s, 5),
            "users": self.users,
            "think_s": self.think_s,
            "is_bounded": self.is_bounded,
            "points": [
                {name: round(value, 5) for name, value in vars(point).items()}
                for point in self.points
            ],
        }

    def print(self, about: str, file: TextIO) -> None:
        """For people.

        Args:
            about: says what the traffic is.
        """
        columns = ("requests a second", "in time", "mean answer", "busy")
        table = Table(self.name, (*columns, ""), right=columns)
        for point in self.points:
            table.row(
                f"{point.requests_s:.4g}",
                f"{point.attained:.1%}",
                seconds_text(point.answer_s),
                f"{point.utilisation:.0%}",
                "carried" if point is self.carried else "",
            )
        table.print(file)
        file.write(f"traffic: {about}\n{self._answer()}\n")

    def _answer(self) -> str:
        if self.carried is None:
            most = max(point.attained for point in self.points)
            return (
                f"no rate: however slowly they come, at most {most:.1%} of the requests are in "
                f"time, and {self.goal.attain:.4g} of them are wanted"
            )
        least = "" if self.is_bounded else "at least "
        return (
            f"{least}{self.requests_s:.4g} requests a second: {self.users:,} users who wait for "
            f"their answer ({seconds_text(self.carried.answer_s)} in the mean), then think for "
            f"{seconds_text(self.think_s)}"
        )


def largest_load(
    served: Served,
    traffic: Traffic,
    goal: Goal,
    *,
    think_s: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Load:
    """Find the largest rate at which enough of the traffic's requests meet an objective.

    Args:
        traffic: at least two requests at different times; their own objectives do not count.

    Raises:
        RequestError: all requests come at once, so there is no rate; or a time to think that
            cannot be.
    """
    if not 0 <= think_s <= LONGEST_YEARS * YEAR_S:
        raise RequestError(
            f"think_s is {think_s}",
            remedy=f"give seconds, from 0 to {LONGEST_YEARS} years of them",
            field="think_s",
        )
    own_rate = _requests_s(traffic)
    points: dict[float, Point] = {}

    def is_carried(factor: float) -> bool:
        if factor not in points:
            done = simulate(served, _faster(traffic, factor))
            points[factor] = _point(done, goal, own_rate * factor)
            progress(len(points), max(12, len(points) + 1))
        return points[factor].attained >= goal.attain

    def is_idle(factor: float) -> bool:
        return points[factor].utilisation < _IDLE

    good, bad = _bracket(is_carried, is_idle, _full_load(served, traffic))
    while good and bad and bad / good > CLOSE:
        middle = math.sqrt(good * bad)
        good, bad = (middle, bad) if is_carried(middle) else (good, middle)
    progress(len(points), len(points))
    in_order = tuple(points[factor] for factor in sorted(points))
    carried = points[good] if good else None
    return Load(served.name, goal, in_order, carried, bad is not None, think_s)


def _bracket(
    is_carried: Callable[[float], bool], is_idle: Callable[[float], bool], first: float
) -> tuple[float | None, float | None]:
    """A rate that is carried and a larger one that is not; None where there is none."""
    factor = first
    if is_carried(factor):
        while factor < first * _FASTEST:
            if not is_carried(2 * factor):
                return factor, 2 * factor
            factor *= 2
        return factor, None
    while not is_idle(factor):
        if is_carried(factor / 2):
            return factor / 2, factor
        factor /= 2
    return None, factor


def _full_load(served: Served, traffic: Traffic) -> float:
    """How many times faster the traffic must come to keep the machine busy, if all came at once."""
    together = simulate(served, _faster(traffic, math.inf))
    return traffic.arrivals[-1].time_ns / max(1, together.rehearsal.busy_ns)


def _faster(traffic: Traffic, factor: float) -> Traffic:
    """The same requests, so many times as fast, and without objectives of their own."""
    arrivals = tuple(
        replace(one, time_ns=round(one.time_ns / factor), objective=None)
        for one in traffic.arrivals
    )
    return Traffic(arrivals, traffic.n_clipped)


def _requests_s(traffic: Traffic) -> float:
    span_ns = traffic.arrivals[-1].time_ns - traffic.arrivals[0].time_ns
    if not span_ns:
        raise RequestError(
            "all requests of the trace come at once, so they have no rate",
            remedy="take a longer stretch of it",
        )
    return (len(traffic.arrivals) - 1) / span_ns * 1e9


def _point(done: Simulation, goal: Goal, requests_s: float) -> Point:
    outcomes: Sequence[Outcome] = done.completed
    return Point(
        requests_s,
        sum(map(goal.is_met, outcomes)) / len(outcomes),
        fmean(map(e2e_ms, outcomes)) / 1e3,
        done.utilisation,
    )
