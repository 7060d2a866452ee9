"""Engines that take their steps in turns: promises of one are kept, whatever runs on others."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import NotPromised, Objective
from foreknown.engine.neighbours import Elsewhere, Outstanding, Turns
from foreknown.engine.rehearsal import Arrival
from tests.engine.reality import (
    Linear,
    Reality,
    SteppingClock,
    new_reality,
    random_arrivals,
    random_objective,
    random_price,
    request_of,
)

CONTEXT = 128
LONG = Objective(deadline_ms=100_000)


def neighbours(library: ctypes.CDLL, *prices: Linear, rows: int = 4) -> list[Reality]:
    clock = SteppingClock()
    sizes = {"max_rows": rows, "max_tokens": 32, "n_blocks": 24, "context": CONTEXT}
    return [new_reality(library, price, clock=clock, **sizes) for price in prices]


def serve(every: list[Reality], arrivals: list[list[Arrival]]) -> None:
    """As a server's thread does; all arrive while any step runs."""
    turns, clock = Turns([one.engine for one in every]), every[0].program.clock

    def meanwhile(end_ns: int) -> None:
        while (first := min(every, key=lambda one: one.next_arrival_ns)).next_arrival_ns < end_ns:
            first.meanwhile(first.next_arrival_ns + 1)

    for one, own in zip(every, arrivals, strict=True):
        one.expect(own)
        one.program.meanwhile = meanwhile
    while any(one.has_work for one in every):
        clock.now = max(clock.now, min(one.next_ns for one in every if one.has_work))
        for one in every:
            meanwhile(clock.now + 1)
            for other in every:
                other.take_arrivals()
            if one.engine.has_work and turns.may_step(one.engine):
                one.step()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 12),
    load=st.floats(0.5, 6),
    promised=st.sampled_from([(0.0, 1.0), (0.5, 0.5), (1.0, 1.0)]),
    n_engines=st.integers(2, 3),
    seed=st.integers(0, 2**32),
)
def test_promises_are_kept_on_all_of_them(
    library: ctypes.CDLL,
    n: int,
    load: float,
    promised: tuple[float, float],
    n_engines: int,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    prices = [random_price(random) for _ in range(n_engines)]
    every = neighbours(library, *prices, rows=int(random.integers(1, 6)))
    arrivals = []
    for index, price in enumerate(prices):
        share = promised[min(index, 1)]
        own = random_arrivals(random, n, price.step / 1e6)
        arrivals.append(
            [
                replace(
                    one,
                    objective=random_objective(random, one, price.step / 1e3, load, paces=False),
                )
                if random.random() < share
                else one
                for one in own
            ]
        )
    serve(every, arrivals)
    for reality in every:
        assert all(one.refusal or one.times_ns for one in reality.came), "all come to an end"
        assert all(one.kept for one in reality.came if one.promise is not None)
        assert not reality.engine.holds_promises


def test_long_prompts_of_others_wait_while_a_promise_leaves_them_no_time(
    library: ctypes.CDLL,
) -> None:
    small, large = neighbours(library, Linear(1000), Linear(1000, token=20_000))
    flood = [Arrival(i * 1_000_000, 100, 2) for i in range(4)]
    wanted = Objective(deadline_ms=800)  # a step of the other takes 640
    asked = [Arrival(400_000_000 + i * 1_000_000_000, 4, 30, wanted) for i in range(20)]
    serve([small, large], [asked, flood])
    assert all(one.promise is not None and one.kept for one in small.came)
    assert all(one.times_ns for one in large.came)
    assert large.engine.drift.ratio == pytest.approx(1.0), "others' steps are not its own"
    assert small.engine.drift.ratio == pytest.approx(1.0)


def test_what_is_promised_elsewhere_is_work_to_come(library: ctypes.CDLL) -> None:
    small, large = neighbours(library, Linear(1000), Linear(10_000), rows=1)
    Turns([small.engine, large.engine])
    large.engine.reserve(request_of(1, Arrival(0, 4, 40, LONG), 40))  # 400 ms
    soon = request_of(1, Arrival(0, 4, 30, Objective(deadline_ms=300)), 40)
    with pytest.raises(NotPromised, match="promised before") as refused:
        small.engine.reserve(soon)
    assert 430 < refused.value.earliest.total_ms < 500
    small.engine.reserve(replace(soon, objective=Objective(deadline_ms=500)))
    with pytest.raises(NotPromised, match="promised before"):  # it would break what is promised
        large.engine.reserve(request_of(2, Arrival(0, 4, 40, LONG), 40))
    large.engine.release("1")
    small.engine.reserve(replace(soon, id="2"))


def test_lateness_elsewhere() -> None:
    assert Elsewhere().late_s(5) < 0
    every = Elsewhere((Outstanding(spare_s=3, work_s=1), Outstanding(spare_s=2, work_s=4)))
    assert every.work_s == 5
    assert every.late_s() == 1, "the first bears 3 of the other's 4"
    assert every.late_s(2) == 3
