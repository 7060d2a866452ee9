"""How many drafts are worth it: more for likelier ones and cheaper steps, and never at a loss."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.engine.detokenizer import NoText
from foreknown.engine.sampling import SamplingParams
from foreknown.engine.sequence import Sequence
from foreknown.engine.speculation import (
    ALLOWANCE,
    LOOK_SECONDS,
    MARGIN,
    MAX_DRAFTS,
    MOST_CREDIT,
    MOST_DEBT,
    Speculation,
    choose_depths,
)
from foreknown.engine.step_times import StepTimes

CHANCES = st.floats(0, 1)
SURVIVALS = st.lists(
    st.lists(CHANCES, max_size=4).map(lambda each: list(accumulate(each, lambda a, b: a * b))),
    min_size=1,
    max_size=3,
)
COSTS = st.lists(st.floats(0, 1), min_size=16, max_size=16).map(lambda more: list(accumulate(more)))


def step_times(told: Callable[[int], float]) -> StepTimes:
    """Where contexts cost nothing."""
    return StepTimes(lambda step: told(step.tokens), 1)


def unmeasured(n_tokens: int) -> float:
    return 1 + (n_tokens - 1) / 4


def context() -> float:
    return 1.0


def table(costs: list[float]) -> Callable[[int], float]:
    return lambda n_tokens: 1 + costs[n_tokens - 1]


def rate(survivals: list[list[float]], depths: tuple[int, ...], seconds: object) -> float:
    expected = sum(1 + sum(own[:n]) for own, n in zip(survivals, depths, strict=True))
    assert callable(seconds)
    return float(expected / seconds(len(depths) + sum(depths)))


@given(SURVIVALS, COSTS, st.integers(0, 12))
def test_no_other_depths_promise_more(
    survivals: list[list[float]], costs: list[float], room: int
) -> None:
    seconds = table(costs)
    depths = tuple(choose_depths(survivals, len(survivals), room, seconds))
    assert sum(depths) <= room
    assert all(n <= len(own) for n, own in zip(depths, survivals, strict=True))
    all_depths = product(*(range(len(own) + 1) for own in survivals))
    best = max(rate(survivals, d, seconds) for d in all_depths if sum(d) <= room)
    nothing = rate(survivals, (0,) * len(survivals), seconds)
    if any(depths):
        assert rate(survivals, depths, seconds) == pytest.approx(best, rel=1e-12)
        assert rate(survivals, depths, seconds) > nothing * MARGIN * (1 - 1e-12)
    else:
        assert best <= nothing * MARGIN * (1 + 1e-12)


def depth(chance: float, each: float) -> int:
    """Of one sequence, if all drafts are as likely and each further token costs the same."""
    survival = [chance ** (n + 1) for n in range(MAX_DRAFTS)]
    return choose_depths([survival], 1, MAX_DRAFTS, lambda n: 1 + each * (n - 1))[0]


@given(CHANCES, CHANCES, st.floats(0.001, 2))
def test_likelier_drafts_go_deeper(one: float, other: float, each: float) -> None:
    assert depth(min(one, other), each) <= depth(max(one, other), each)


@given(CHANCES, st.floats(0.001, 2), st.floats(0.001, 2))
def test_dearer_tokens_go_less_deep(chance: float, one: float, other: float) -> None:
    assert depth(chance, max(one, other)) <= depth(chance, min(one, other))


def test_certain_and_free_drafts_are_all_taken_and_hopeless_ones_never() -> None:
    assert depth(1.0, 0.001) == MAX_DRAFTS
    assert depth(0.0, 0.001) == 0
    assert depth(0.9, 1.0) == 0, "a token that costs a step of its own cannot be won"


def test_the_likeliest_come_first_whosever_they_are() -> None:
    survivals = [[0.5, 0.1], [0.9, 0.8], []]
    assert choose_depths(survivals, 3, 3, lambda n: 1.0) == [1, 2, 0]
    assert choose_depths(survivals, 3, 1, lambda n: 1.0) == [0, 1, 0]
    assert choose_depths(survivals, 3, 0, lambda n: 1.0) == [0, 0, 0]
    assert choose_depths([[], []], 2, 9, lambda n: 1.0) == [0, 0]


def test_a_step_that_fills_up_for_nothing_is_filled() -> None:
    """Costs go in stairs: a fourth token may be worth it where a second is not."""
    stairs = [0, 1.0, 1.9, 1.95, 2.0]
    survival = [0.7, 0.5, 0.4]
    assert choose_depths([survival], 1, 3, lambda n: stairs[n]) == [3]


# ---- what steps take ---------------------------------------------------------------------


def test_what_is_told_holds_where_time_goes_by_it() -> None:
    told = lambda n: 0.01 * (1 + n / 10)  # noqa: E731
    times = step_times(told)
    for n in (1, 1, 8, 3, 1, 5):
        times.observe(n, told(n))
        assert [times.seconds(n) for n in range(1, 9)] == pytest.approx(
            [told(n) for n in range(1, 9)]
        )


def test_the_clock_corrects_scale_and_shape() -> None:
    times = step_times(unmeasured)
    times.observe(1, 3.0)
    assert times.seconds(4) == pytest.approx(3 * unmeasured(4)), "as far off as its neighbour"
    times.observe(8, 3.0)
    assert times.seconds(8) == pytest.approx(3.0)
    assert 3.0 < times.seconds(4) < 3 * unmeasured(4), "between its neighbours"
    for _ in range(64):
        times.observe(1, 6.0)
    assert times.seconds(1) == pytest.approx(6.0, rel=0.05)


def test_of_the_first_steps_the_fastest_counts() -> None:
    times = step_times(lambda n: 1.0)
    for seconds in (30.0, 2.0, 40.0):
        times.observe(1, seconds)
    assert times.seconds(1) == 2.0


def test_a_burst_counts_little_and_is_forgotten() -> None:
    times = step_times(lambda n: 1.0)
    for _ in range(20):
        times.observe(1, 1.0)
    times.observe(1, 1000.0)
    assert times.seconds(1) < 1.1
    times.observe(8, 1000.0)
    assert times.seconds(8) == 1000.0
    for _ in range(600):
        times.observe(1, 1.0)
    assert times.seconds(8) == pytest.approx(1.0, rel=0.01)
    times.observe(1, 0.0)  # a clock that stands still teaches nothing
    assert times.seconds(1) == pytest.approx(1.0, rel=0.01)


def test_contexts_are_not_taken_for_a_slower_machine() -> None:
    """What is learned of one context holds for others."""
    times = StepTimes(lambda step: 1 + step.attended / 100, 2000)
    for context in (100, 1000, 100):
        times.observe(1, 2 * (1 + context / 100), context)
        assert times.seconds(1, 500) == pytest.approx(2 * (1 + 500 / 100), rel=0.25)
    assert times.seconds(3) == pytest.approx(2 * (1 + 3 * 2000 / 100), rel=0.25)


def test_of_many_steps_some_are_timed() -> None:
    times = step_times(lambda n: 1.0)
    noted = [times.observe_plain(1, 2.0, lambda: 7.0) for _ in range(160)]
    assert noted[:16] == [7.0] * 16
    assert 10 <= sum(one is not None for one in noted[16:]) <= 20


# ---- the account of time won and lost ------------------------------------------------------


def sequence(tokens: list[int]) -> Sequence:
    return Sequence(
        request_id="a",
        number=0,
        arrival_ns=0,
        prompt=np.array(tokens, np.int32),
        max_tokens=9,
        params=SamplingParams(),
        stop_ids=frozenset(),
        seed=0,
        detokenizer=NoText(),
    )


def looks_in_vain(step_seconds: float, n_steps: int) -> int:
    """How often a sequence without repetition is looked at."""
    speculation = Speculation(step_times(lambda n: step_seconds * n))
    never_repeats = sequence(list(range(50)))
    n_looks = 0
    for _ in range(n_steps):
        if speculation.has_credit:
            n_looks += 1
            assert speculation.look([never_repeats]) == []
        speculation.observe(1, 0, 1, step_seconds, context)
    return n_looks


def test_looks_in_vain_take_a_small_share_of_the_time() -> None:
    for seconds in (20e-6, 200e-6, 2e-3):
        limit = (ALLOWANCE * 3000 + MOST_CREDIT) * seconds
        assert looks_in_vain(seconds, 3000) <= limit / LOOK_SECONDS + 2
    assert looks_in_vain(15e-3, 3000) == 3000, "of a long step they are a small share anyway"


def test_losses_must_be_earned_back_and_wins_last_a_while() -> None:
    plain, wide = 0.01, 0.04
    speculation = Speculation(step_times(lambda n: plain if n == 1 else wide))
    for _ in range(20):
        speculation.observe(1, 0, 1, plain, context)
    speculation.observe(8, 7, 8, wide, context)
    assert speculation.has_credit
    n_losses = 0
    while speculation.has_credit:
        speculation.observe(8, 7, 1, wide, context)
        n_losses += 1
    assert n_losses == 3, "each lost three steps, where eight may be lost"
    n_steps = 0
    while not speculation.has_credit:
        speculation.observe(1, 0, 1, plain, context)
        n_steps += 1
    assert n_steps == pytest.approx(1 / ALLOWANCE, rel=0.1)
    for _ in range(100):
        speculation.observe(8, 7, 1, wide * 100, context)
    n_steps = 0
    while not speculation.has_credit:
        speculation.observe(1, 0, 1, plain, context)
        n_steps += 1
    assert n_steps <= MOST_DEBT / ALLOWANCE + 1, "no debt lasts for ever"


def test_a_burst_does_not_end_a_success() -> None:
    speculation = Speculation(step_times(lambda n: 0.01 if n == 1 else 0.012))
    for _ in range(20):
        speculation.observe(1, 0, 1, 0.01, context)
    for seconds in (0.012, 0.012, 5.0):
        speculation.observe(8, 7, 8, seconds, context)
    assert speculation.has_credit


def test_several_sequences_are_weighed_together() -> None:
    """Of three, one repeats itself; each has a token, and drafts are free."""
    speculation = Speculation(step_times(lambda n: 1.0))
    sequences = [sequence([1, 2, 3, 4]), sequence([1, 2, 3, 1, 2, 3]), sequence([5, 6])]
    ((index, drafter),) = speculation.look(sequences)
    assert index == 1
    (depth,) = speculation.depths([drafter], [5], 3, 20)
    assert depth == 5
    assert drafter.propose(depth) == [1, 2, 3, 1, 2]
    assert speculation.depths([drafter], [5], 3, 2) == [2]
    assert speculation.depths([drafter], [0], 3, 20) == [0]
