"""What may be asked for, what is promised then, and when that is due."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.engine.promises import LONGEST_MS, Objective, Promise, committed
from foreknown.errors import RequestError

FIELDS = ("deadline_ms", "ttft_ms", "tpot_ms")
a_time = st.floats(1e-3, LONGEST_MS)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "value", [0, -1, -1e-9, math.nan, math.inf, -math.inf, LONGEST_MS * 1.01, True]
)
def test_a_time_that_cannot_be_kept_is_refused_by_its_name(field: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{field} is .* milliseconds above 0") as refused:
        Objective(**{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize("field", FIELDS)
def test_one_wrong_time_spoils_the_others(field: str) -> None:
    with pytest.raises(RequestError, match=field):
        Objective(**{**dict.fromkeys(FIELDS, 10.0), field: -5.0})


def test_an_objective_says_something() -> None:
    with pytest.raises(RequestError, match="says nothing"):
        Objective()


def test_a_day_is_the_longest() -> None:
    assert Objective(deadline_ms=24 * 3600 * 1000).deadline_ms == LONGEST_MS


@given(*[st.none() | a_time] * 3)
def test_what_is_asked_for_is_what_is_promised(
    deadline_ms: float | None, ttft_ms: float | None, tpot_ms: float | None
) -> None:
    if deadline_ms is ttft_ms is tpot_ms is None:
        return
    promise = Promise.of(Objective(deadline_ms, ttft_ms, tpot_ms))
    assert (promise.total_ms, promise.ttft_ms, promise.tpot_ms) == (deadline_ms, ttft_ms, tpot_ms)
    assert promise.kept(ttft_ms, tpot_ms, deadline_ms)
    for place, wanted in enumerate((ttft_ms, tpot_ms, deadline_ms)):
        actual: list[float | None] = [0.0, 0.0, 0.0]
        actual[place] = None if wanted is None else wanted * 1.001
        assert promise.kept(*actual) == (wanted is None)


def test_what_an_answer_does_not_have_is_kept() -> None:
    promise = Promise(ttft_ms=5, tpot_ms=1, total_ms=9)
    assert promise.kept(5, None, 5)  # one token
    assert promise.kept(None, None, 9)  # none
    assert not promise.kept(None, None, 9.1)
    assert not promise.kept(5.1, None, 5.1)


@given(st.none() | a_time, st.none() | a_time, st.none() | a_time, st.integers(0, 2**60))
def test_what_is_due_counts_from_the_arrival(
    deadline_ms: float | None, ttft_ms: float | None, tpot_ms: float | None, arrival_ns: int
) -> None:
    if deadline_ms is ttft_ms is tpot_ms is None:
        return
    due = committed(Objective(deadline_ms, ttft_ms, tpot_ms), arrival_ns)
    assert due.first_ns == (None if ttft_ms is None else arrival_ns + round(ttft_ms * 1e6))
    assert due.last_ns == (None if deadline_ms is None else arrival_ns + round(deadline_ms * 1e6))
    assert due.pace_ns == (None if tpot_ms is None else tpot_ms * 1e6)
    ends = [ns for ns in (due.first_ns, due.last_ns) if ns is not None]
    assert due.order_ns == min(ends, default=arrival_ns)


def test_how_early_a_token_is() -> None:
    due = committed(Objective(deadline_ms=100, ttft_ms=10, tpot_ms=2), arrival_ns=0)
    ms = 1_000_000
    assert due.early_ns(1, 4 * ms, is_last=False) == 6 * ms
    assert due.early_ns(1, 12 * ms, is_last=True) == -2 * ms
    assert due.early_ns(2, 12 * ms, is_last=False) == math.inf
    assert due.early_ns(9, 101 * ms, is_last=True) == -1 * ms
    assert due.ahead_ns(1, 4 * ms, 4 * ms) == math.inf
    assert due.ahead_ns(3, 4 * ms, 7 * ms) == 1 * ms
    assert due.ahead_ns(2, 4 * ms, 7 * ms) == -1 * ms
