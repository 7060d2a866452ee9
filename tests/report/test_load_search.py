"""The largest rate that keeps an objective, for a machine whose limits are known."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from foreknown.engine.promises import Objective
from foreknown.errors import RequestError
from foreknown.report.load_search import CLOSE, Goal, Load, largest_load
from foreknown.report.simulation import simulate
from foreknown.report.trace_forms import TracedRequest
from foreknown.report.traces import Trace
from foreknown.report.traffic import Scale, Traffic, traffic
from tests.report.served import round_served

SERVED = round_served(sequences=16)
N, N_PROMPT, N_OUTPUT = 150, 40, 20


def come(seed: int | None = None) -> Traffic:
    """Equal requests at random times, one a second in the mean."""
    times = np.random.default_rng(seed).exponential(1e9, N).cumsum().astype(int)
    requests = tuple(TracedRequest(t - times[0], N_PROMPT, N_OUTPUT) for t in times.tolist())
    return traffic(Trace("", "", requests), Scale(), SERVED.longest)


def found(goal: Goal, traffic: Traffic | None = None, think_s: float = 30.0) -> Load:
    return largest_load(SERVED, traffic or come(), goal, think_s=think_s)


def test_the_rate_is_carried_and_a_larger_one_is_not() -> None:
    goal, traffic = Goal(Objective(ttft_ms=50, tpot_ms=4), 0.9), come()
    load = found(goal, traffic)
    assert load.is_bounded
    assert load.carried is not None
    worse = [point for point in load.points if point.requests_s > load.requests_s]
    assert load.carried.attained >= 0.9 > worse[0].attained
    assert worse[0].requests_s <= CLOSE * load.requests_s * 1.0001
    # the same rate, simulated by itself
    own_rate = (N - 1) / traffic.arrivals[-1].time_ns * 1e9
    arrivals = traffic.arrivals
    factor = load.requests_s / own_rate
    faster = tuple(replace(one, time_ns=round(one.time_ns / factor)) for one in arrivals)
    done = simulate(SERVED, Traffic(faster, 0))
    assert sum(map(goal.is_met, done.completed)) / N == pytest.approx(load.carried.attained)
    assert done.utilisation == pytest.approx(load.carried.utilisation, rel=1e-6)


def test_more_is_carried_where_less_is_asked() -> None:
    traffic = come()
    strict, loose, looser = (
        found(Goal(Objective(ttft_ms=ms), share), traffic).requests_s
        for ms, share in ((40, 0.99), (160, 0.99), (160, 0.5))
    )
    assert 0 < strict < loose < looser


def test_users_follow_from_the_rate() -> None:
    goal, traffic = Goal(Objective(deadline_ms=400), 0.95), come()
    for think_s in (0.0, 60.0):
        load = found(goal, traffic, think_s)
        assert load.carried is not None
        assert load.users == int(load.requests_s * (load.carried.answer_s + think_s))


def test_what_nobody_keeps() -> None:
    load = found(Goal(Objective(ttft_ms=0.1), 0.99))
    assert (load.requests_s, load.users, load.carried) == (0, 0, None)
    paper = io.StringIO()
    load.print("traffic", paper)
    assert "no rate: however slowly" in paper.getvalue()


def test_what_everybody_keeps() -> None:
    load = found(Goal(Objective(deadline_ms=86_400_000), 1.0))
    assert not load.is_bounded
    paper = io.StringIO()
    load.print("traffic", paper)
    assert "at least " in paper.getvalue()


def test_for_people_and_for_json() -> None:
    load = found(Goal(Objective(ttft_ms=100), 0.9))
    record = json.loads(json.dumps(load.record))
    assert record["objective"] == {"deadline_ms": None, "ttft_ms": 100, "tpot_ms": None}
    rates = [point["requests_s"] for point in record["points"]]
    assert rates == sorted(rates)
    assert record["requests_s"] in rates
    paper = io.StringIO()
    load.print("traffic", paper)
    assert f"{load.users:,} users who wait for their answer" in paper.getvalue()
    assert "carried" in paper.getvalue()


@pytest.mark.parametrize("attain", [0, -0.5, 1.01, float("nan")])
def test_no_such_share(attain: float) -> None:
    with pytest.raises(RequestError, match="attain is"):
        Goal(Objective(ttft_ms=1), attain)


def test_requests_that_come_at_once_have_no_rate() -> None:
    requests = (TracedRequest(0, 5, 5),) * 3
    together = traffic(Trace("", "", requests), Scale(), SERVED.longest)
    with pytest.raises(RequestError, match="no rate"):
        found(Goal(Objective(ttft_ms=1), 0.9), together)


def test_a_time_to_think_that_cannot_be() -> None:
    with pytest.raises(RequestError, match="think_s is -1"):
        found(Goal(Objective(ttft_ms=1), 0.9), think_s=-1)


@pytest.mark.parametrize("think_s", [1e308, 4e8, float("inf"), float("nan")])
def test_nobody_thinks_for_more_than_ten_years(think_s: float) -> None:
    with pytest.raises(RequestError, match="think_s is") as caught:
        found(Goal(Objective(ttft_ms=1), 0.9), think_s=think_s)
    assert "10 years" in caught.value.remedy
