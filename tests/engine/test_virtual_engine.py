"""Leaps are as many steps, and a grain makes nobody sooner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine.block_count import BlockCount
from foreknown.engine.progress import SequenceState
from foreknown.engine.promises import committed
from foreknown.engine.rehearsed import Rehearsed
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.virtual_engine import VirtualEngine
from tests.engine.reality import Linear, Objective, random_price


def new_engine(
    price: Linear, *, max_tokens: int = 24, max_rows: int = 8, n_blocks: int = 100, grain: int = 0
) -> VirtualEngine:
    blocks = BlockCount(n_blocks)
    scheduler = Scheduler[Rehearsed](blocks, max_tokens, max_rows, step_seconds=price.seconds)
    return VirtualEngine(scheduler, blocks, price.seconds, grain=grain)


def times(all_of_them: list[Rehearsed]) -> list[tuple[int, int]]:
    return [(one.first_ns, one.last_ns) for one in all_of_them]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 90), st.integers(0, 90)), min_size=1, max_size=8),
    max_tokens=st.integers(1, 40),
    max_rows=st.integers(1, 6),
    n_blocks=st.integers(12, 40),
    seed=st.integers(0, 2**32),
)
def test_a_leap_takes_what_its_steps_take(
    lengths: list[tuple[int, int]], max_tokens: int, max_rows: int, n_blocks: int, seed: int
) -> None:
    price = random_price(np.random.default_rng(seed))
    told = []
    for stepwise in (False, True):
        engine = new_engine(price, max_tokens=max_tokens, max_rows=max_rows, n_blocks=n_blocks)
        queue = [Rehearsed(i, *each, arrival_ns=0) for i, each in enumerate(lengths)]
        for one in queue:
            engine.scheduler.add(one)
        while stepwise and engine.scheduler.has_work:
            n_steps = engine.n_steps
            engine.run(engine.now_ns + 1)
            assert engine.n_steps == n_steps + 1
        engine.run()
        assert engine.blocks.n_free == n_blocks
        told.append((times(queue), engine.busy_ns, engine.n_steps))
    (leaps, leap_busy_ns, leap_steps), (steps, step_busy_ns, n_steps) = told
    assert leap_steps == n_steps
    assert leap_busy_ns == pytest.approx(step_busy_ns, rel=1e-6, abs=1000)
    for leap, step in zip(leaps, steps, strict=True):
        assert leap == pytest.approx(step, rel=1e-6, abs=1000)


def test_it_ends_with_the_step_at_the_given_time() -> None:
    engine = new_engine(Linear(1000))
    engine.scheduler.add(Rehearsed(0, 4, 50, 0))
    engine.run(10_500_000)
    assert engine.now_ns == 11_000_000
    assert engine.n_steps == 11
    engine.run(10_500_000)
    assert engine.now_ns == 11_000_000
    engine.run()
    assert engine.now_ns == 50_000_000
    engine.run(60_000_000)  # nobody is there
    assert (engine.now_ns, engine.busy_ns) == (60_000_000, 50_000_000)


def test_a_single_step_costs_what_it_costs_however_steep_the_price_is() -> None:
    engine = new_engine(Linear(0, attended=1000))
    engine.scheduler.add(Rehearsed(0, 1, 9, 0))
    engine.run(1)
    assert engine.now_ns == 1_000_000
    engine.run(3_200_000)  # after a second step of two milliseconds this is not yet over
    assert engine.now_ns == 6_000_000


@settings(max_examples=60, deadline=None)
@given(
    outputs=st.lists(st.integers(2, 200), min_size=1, max_size=8),
    grain=st.integers(1, 60),
    seed=st.integers(0, 2**32),
)
def test_a_grain_saves_leaps_and_makes_nobody_sooner(
    outputs: list[int], grain: int, seed: int
) -> None:
    price = random_price(np.random.default_rng(seed))
    told = []
    for each in (0, grain):
        engine = new_engine(price, n_blocks=200, grain=each)
        queue = [Rehearsed(i, 1, n, 0) for i, n in enumerate(outputs)]
        for one in queue:
            engine.scheduler.add(one)
        engine.run()
        told.append(times(queue))
        # whoever has ended stays in the steps of a leap at most
        most = price.seconds_of_rows(len(outputs), max(outputs) + 1) * (max(outputs) + grain)
        assert engine.now_ns <= most * 1e9 + 1
    for exact, later in zip(*told, strict=True):
        assert all(a <= b + 1000 for a, b in zip(exact, later, strict=True))
        if not (price.token or price.row or price.attended or price.kept):
            assert later == pytest.approx(exact, rel=1e-6)


@given(outputs=st.lists(st.integers(2, 200), min_size=1, max_size=8), grain=st.integers(0, 60))
def test_whoever_stays_past_its_end_has_its_own_times(outputs: list[int], grain: int) -> None:
    """Where steps take the same whoever is in them."""
    engine = new_engine(Linear(1000), n_blocks=200, grain=grain)
    queue = [Rehearsed(i, 1, n, 0) for i, n in enumerate(outputs)]
    for one in queue:
        engine.scheduler.add(one)
    engine.run()
    assert [one.last_ns for one in queue] == [n * 1_000_000 for n in outputs]


def test_a_pace_is_looked_at_within_a_leap() -> None:
    """Early tokens may be behind a mean that the last ones make good: see `Objective`."""
    engine = new_engine(Linear(1000))
    slow = Rehearsed(0, 1, 41, 0, commitment=committed(Objective(tpot_ms=2), 0))
    slow.n_tokens, slow.n_computed, slow.first_ns = 3, 2, 0  # one gap so far, and it took 4 ms
    slow.longest = 42
    engine.now_ns = 4_000_000
    slow.state = SequenceState.RUNNING
    engine.blocks.extend(slow, 1)
    engine.scheduler.take_over(slow)
    engine.run()
    assert slow.ahead_ns == -1_000_000  # the next one comes after 5 ms, where 4 are its due
    assert slow.tpot_ms < 2
