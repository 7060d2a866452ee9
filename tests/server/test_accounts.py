"""Accounts: what was told, when what came, and whether that was kept."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.engine import Output
from foreknown.engine.output import FinishReason
from foreknown.engine.promises import Foreseen, Objective
from foreknown.server.accounts import Account, foreseen_record, later, rounded

MS = 1_000_000
FORESEEN = Foreseen(ttft_ms=10.0, tpot_ms=2.0, total_ms=30.0, low_ms=25.0, high_ms=40.0)


def account(
    objective: Objective | None = None,
    forecast: Foreseen | None = None,
    told_ms: float = 0.0,
    ids: tuple[str, ...] = ("a",),
    arrival_ns: int = 7 * MS,
) -> Account:
    return Account(objective, forecast, arrival_ns, arrival_ns + round(told_ms * MS), ids)


def token(name: str = "a", finish: FinishReason | None = None) -> Output:
    return Output(name, 0, 1, finish_reason=finish)


def deliver(one: Account, times_ms: list[float], name: str = "a", finish: Any = "length") -> None:
    """Tokens that reach the loop so many milliseconds after arrival; the last one ends it."""
    for place, ms in enumerate(times_ms):
        last = place == len(times_ms) - 1
        one.deliver([token(name, finish if last else None)], round((7 + ms) * MS))


times = st.lists(st.floats(0.1, 1e5), min_size=1, max_size=30).map(sorted)


@given(times, st.floats(0.1, 2e5), st.floats(0.1, 2e5), st.floats(0.01, 1e5))
def test_a_promise_is_kept_if_every_part_of_it_is(
    came: list[float], deadline: float, ttft: float, tpot: float
) -> None:
    one = account(Objective(deadline, ttft, tpot))
    deliver(one, came)
    actual = one.record()["actual"]
    assert actual["ttft_ms"] == pytest.approx(came[0], abs=2e-3)
    assert actual["total_ms"] == pytest.approx(came[-1], abs=2e-3)
    pace = None
    if len(came) > 1:
        pace = (came[-1] - came[0]) / (len(came) - 1)
        assert actual["tpot_ms"] == pytest.approx(pace, abs=2e-3)
    else:
        assert actual["tpot_ms"] is None
    parts = [(came[-1], deadline), (came[0], ttft), *([] if pace is None else [(pace, tpot)])]
    if any(abs(took - wanted) < 1e-3 for took, wanted in parts):
        return  # too close for the nanoseconds that times are kept in
    kept = all(took <= wanted for took, wanted in parts)
    assert one.record()["kept"] is kept
    assert one.end(0) == ("kept" if kept else "broken")


@given(st.lists(times, min_size=2, max_size=4), st.floats(1, 1e5))
def test_several_answers_are_told_by_the_last_and_all_must_keep_it(
    all_times: list[list[float]], deadline: float
) -> None:
    names = tuple("abcd"[: len(all_times)])
    one = account(Objective(deadline_ms=deadline), ids=names)
    for name, came in zip(names, all_times, strict=True):
        assert not one.is_over
        assert "actual" not in one.record()
        deliver(one, came, name, "stop")
    last = max(came[-1] for came in all_times)
    record = one.record()
    assert record["actual"]["total_ms"] == pytest.approx(last, abs=2e-3)
    assert record["actual"]["ttft_ms"] == pytest.approx(
        max(came[0] for came in all_times), abs=2e-3
    )
    if abs(last - deadline) > 1e-3:
        assert record["kept"] is (last <= deadline)


@pytest.mark.parametrize(
    ("objective", "came", "given_up_at", "end"),
    [
        (Objective(deadline_ms=100), [], 99, "aborted"),
        (Objective(deadline_ms=100), [10, 20], 99, "aborted"),
        (Objective(deadline_ms=100), [10, 20], 101, "broken"),
        (Objective(ttft_ms=50), [], 49, "aborted"),
        (Objective(ttft_ms=50), [], 51, "broken"),
        (Objective(ttft_ms=50), [60], 61, "broken"),
        (Objective(ttft_ms=50), [40], 1000, "aborted"),
        (Objective(tpot_ms=10), [40], 49, "aborted"),
        (Objective(tpot_ms=10), [40], 51, "broken"),
        (Objective(tpot_ms=10), [], 5000, "aborted"),
        (Objective(tpot_ms=10), [10, 40], 41, "broken"),
    ],
)
def test_what_is_given_up_is_broken_only_if_it_was_late(
    objective: Objective, came: list[float], given_up_at: float, end: str
) -> None:
    one = account(objective)
    for ms in came:
        one.deliver([token()], round((7 + ms) * MS))
    assert one.end(round((7 + given_up_at) * MS)) == end
    assert "kept" not in one.record()


def test_an_error_or_a_cancel_is_no_end_that_keeps_a_promise() -> None:
    for finish in ("error", "cancelled"):
        one = account(Objective(deadline_ms=100))
        one.deliver([Output("a", 0, None, finish_reason=finish)], 8 * MS)  # type: ignore[arg-type]
        assert not one.is_over
        assert one.end(8 * MS) == "aborted"


def test_an_embedding_has_one_time() -> None:
    import numpy as np

    one = account(Objective(deadline_ms=5))
    row = np.zeros(3, np.float32)
    one.deliver([Output("a", 0, None, finish_reason="stop", embedding=row)], 9 * MS)
    assert one.record()["actual"] == {"ttft_ms": 2.0, "tpot_ms": None, "total_ms": 2.0}
    assert one.record()["kept"] is True


def test_a_forecast_counts_from_the_arrival() -> None:
    one = account(forecast=FORESEEN, told_ms=5)
    told = one.told()
    assert told == {"forecast": foreseen_record(later(FORESEEN, 5.0))}
    assert told["forecast"]["ttft_ms"] == 15.0
    assert told["forecast"]["tpot_ms"] == 2.0
    assert told["forecast"]["interval"] == {"low_ms": 30.0, "high_ms": 45.0}
    assert one.end(0) is None
    assert "kept" not in one.record()


def test_errors_are_actual_through_forecast_and_of_the_whole_only_if_none_was_spared() -> None:
    factor = random.uniform(0.5, 2)
    for finish, names in (("length", {"ttft", "total"}), ("stop", {"ttft"})):
        one = account(forecast=FORESEEN)
        assert one.errors == {}
        deliver(one, [10 * factor, 30 * factor], finish=finish)
        assert set(one.errors) == names
        for ratio in one.errors.values():
            assert ratio == pytest.approx(factor, rel=1e-3)


def test_what_never_comes_is_shown_as_null() -> None:
    assert rounded(float("inf")) is None
    assert rounded(float("nan")) is None
    assert rounded(1.23456) == 1.235
