"""Users take turns by what they ask for; one user alone is served as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.fair_turns import FairTurns
from tests.engine.company import run

NewProgram = Callable[..., Any]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 300), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_nobody_is_served_more_than_a_request_ahead_of_whoever_waits(
    asked: list[tuple[str, int, bool]],
) -> None:
    """While two users both wait, what they were served differs by their largest requests."""
    turns, queue = FairTurns(), []
    for number, (user, cost, _) in enumerate(asked):
        queue.append((turns.queue(user, cost), number))
    served = dict.fromkeys("abc", 0)
    largest = {u: max((c for v, c, _ in asked if v == u), default=0) for u in "abc"}
    for turn, number in sorted(queue):
        waiting = {asked[n][0] for _, n in queue}
        for one in waiting:
            for other in waiting:
                assert served[one] - served[other] <= largest[one] + largest[other]
        queue.remove((turn, number))
        user, cost, leaves = asked[number]
        if leaves:
            turns.leave(user)
        else:
            turns.start(user, turn, cost)
        served[user] += cost


def test_one_user_is_served_in_the_order_of_arrival() -> None:
    turns = FairTurns()
    costs = [5, 1, 100, 2]
    assert [turns.queue("a", cost) for cost in costs] == sorted(
        turns.queue("b", cost) for cost in costs
    )


def test_what_was_taken_back_is_not_held_against_a_user() -> None:
    turns = FairTurns()
    first = turns.queue("a", 10)
    for _ in range(50):
        turns.queue("a", 1000)
    turns.start("a", first, 10)
    for _ in range(50):
        turns.leave("a")
    assert turns.queue("a", 1) == 10


def test_a_newcomer_does_not_overtake_whoever_has_started() -> None:
    turns = FairTurns()
    for _ in range(5):
        last = turns.queue("a", 10)
        turns.start("a", last, 10)
    assert turns.queue("b", 10) == last == 40
    turns.restart()
    assert turns.queue("b", 10) == 0


def test_users_are_forgotten() -> None:
    turns = FairTurns()
    for n in range(10_000):
        turns.start(str(n), turns.queue(str(n), 5), 5)
        turn = turns.queue("steady", 5)
        turns.start("steady", turn, 5)
    assert turns.n_users < 200


@pytest.mark.parametrize("max_rows", [1, 4])
def test_many_requests_of_one_delay_another_by_no_more_than_what_runs(
    new_program: NewProgram, max_rows: int
) -> None:
    engine = Engine(new_program(max_rows=max_rows))
    params = SamplingParams(max_tokens=10)
    for n in range(100):
        engine.add(Request([n % 40] * 9, params, user="busy"))
    for _ in range(25):
        engine.step()
    running = [sequence.request_id for sequence in engine.scheduler.running]
    name = engine.add(Request([1] * 9, params, user="rare"))
    ended = [o.request_id for o in run(engine) if o.finish_reason]
    assert ended.index(name) <= len(running)
    assert len(ended) >= 90


def test_two_busy_users_get_as_much(new_program: NewProgram) -> None:
    engine = Engine(new_program(max_rows=2))
    long, short = SamplingParams(max_tokens=40), SamplingParams(max_tokens=8)
    names = {engine.add(Request([1, 2], long, user="a")): "a" for _ in range(20)}
    names |= {engine.add(Request([1, 2], short, user="b")): "b" for _ in range(60)}
    tokens = {"a": 0, "b": 0}
    for _ in range(200):
        for output in engine.step():
            tokens[names[output.request_id]] += 1
    assert tokens["a"] == pytest.approx(tokens["b"], abs=80)


def test_the_last_in_order_gives_way_whenever_it_started(new_program: NewProgram) -> None:
    engine = Engine(new_program(n_blocks=6, max_rows=3))
    params = SamplingParams(max_tokens=60, temperature=0)
    names = [engine.add(Request([i] * 10, params, user=str(i % 2))) for i in range(3)]
    ended = [o.request_id for o in run(engine) if o.finish_reason]
    assert engine.scheduler.n_preemptions > 0
    assert ended == [names[0], names[1], names[2]]
