"""How far the machine is from what was told, and how much of that promises add."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.engine.drift import (
    DRIFTED,
    LEAST_MARGIN,
    LEAST_STALL_S,
    LONG_MEMORY_S,
    MOST_MARGIN,
    WINDOW_S,
    Drift,
)


def work(
    drift: Drift, seconds: float, ratio: float = 1.0, step_s: float = 0.01, now_s: float = 0.0
) -> None:
    """Steps of a machine that takes so many times what is told."""
    for _ in range(round(seconds / (step_s * ratio))):
        drift.observe(step_s, step_s * ratio, now_s=now_s)


def test_nothing_is_known_before_anything_ran() -> None:
    drift = Drift(0.07)
    assert (drift.ratio, drift.margin, drift.stall_s) == (1.0, 0.07, LEAST_STALL_S)
    assert not drift.has_drifted
    assert Drift(0.0).margin == LEAST_MARGIN


@given(ratio=st.floats(1 - DRIFTED + 0.01, 1 + DRIFTED - 0.01), step_s=st.floats(0.0005, 0.1))
def test_a_steady_machine_has_its_ratio_and_no_more_margin(ratio: float, step_s: float) -> None:
    drift = Drift(0.05)
    work(drift, 5, ratio, step_s)
    assert drift.ratio == pytest.approx(ratio)
    assert drift.margin == 0.05
    assert drift.stall_s == LEAST_STALL_S
    assert not drift.has_drifted


def test_a_slower_machine_is_noticed_and_so_is_its_recovery() -> None:
    drift = Drift()
    work(drift, 5)
    work(drift, 5, 1.3)
    assert drift.has_drifted
    assert drift.n_changes == 1
    assert drift.ratio == pytest.approx(1.3)
    work(drift, 5)
    assert not drift.has_drifted
    assert drift.n_changes == 2
    assert drift.ratio == pytest.approx(1.0)
    work(drift, 5, 0.7)  # a faster one, too
    assert drift.has_drifted
    assert drift.ratio == pytest.approx(0.7)


def test_what_hovers_at_the_limit_does_not_turn_again_and_again() -> None:
    drift = Drift()
    for ratio in (1.17, 1.13) * 10:
        work(drift, 3, ratio)
    assert drift.has_drifted
    assert drift.n_changes == 1


def test_a_restless_machine_widens_the_margin() -> None:
    drift = Drift()
    for i in range(60):
        work(drift, 2 * WINDOW_S, 1.25 if i % 3 == 0 else 1.0)
    assert 0.08 < drift.margin <= MOST_MARGIN
    work(drift, 60, now_s=LONG_MEMORY_S + 1)  # it has come to rest
    assert drift.margin == pytest.approx(0.05)


def test_a_stall_is_covered_by_itself() -> None:
    drift = Drift()
    work(drift, 5)
    drift.observe(0.01, 0.06)
    work(drift, 3)
    assert drift.stall_s == pytest.approx(0.06 - 0.01 * 1.05), "the margin covers the rest"
    assert not drift.has_drifted
    assert drift.ratio == pytest.approx(1.0, abs=0.01)
    work(drift, 60)  # it is long ago
    assert drift.stall_s == LEAST_STALL_S


def test_a_long_step_that_the_margin_covers_is_no_stall() -> None:
    drift = Drift(0.3)
    for long in (0.25, 0.3, 0.26, 0.31):
        work(drift, 1)
        drift.observe(0.24, long)
    work(drift, 1)
    assert drift.stall_s == LEAST_STALL_S
    assert 0.24 * drift.slowest + drift.stall_s >= 0.31


def test_the_worst_that_was_seen_counts_from_its_end_on() -> None:
    drift = Drift()
    work(drift, 1.1 * WINDOW_S, 2.0)
    assert drift.ratio == 1, "too little to say what the machine is"
    assert drift.slowest * WINDOW_S / 2 + drift.stall_s >= 0.99 * WINDOW_S, "it may be so again"
    work(drift, 10)
    assert drift.ratio == pytest.approx(1.0)
    assert drift.slowest * WINDOW_S / 2 + drift.stall_s >= 0.99 * WINDOW_S
    assert drift.calm == (0.05, LEAST_STALL_S)


@given(st.lists(st.floats(0.8, 4), min_size=4, max_size=40))
def test_as_much_time_is_added_as_was_lost_before(ratios: list[float]) -> None:
    """Over any window, and any that show what is slow for long."""
    drift = Drift()
    for ratio in ratios:
        work(drift, 1.05 * WINDOW_S, ratio, step_s=0.001)
    took = [WINDOW_S] * len(ratios)
    told = [WINDOW_S / ratio for ratio in ratios]
    for n in (1, 4):
        for i in range(len(ratios) - n + 1):
            allowed = drift.slowest * sum(told[i : i + n]) + n * drift.stall_s
            assert allowed >= 0.5 * sum(took[i : i + n]), "windows do not begin where ratios change"


def test_what_is_long_ago_counts_no_more() -> None:
    drift = Drift()
    for i in range(100):
        drift.observe(0.1, 0.3 if i < 10 else 0.1, now_s=i)
    assert drift.stall_s == LEAST_STALL_S
    assert drift.margin > 0.5, "what was slow for seconds will be so again"
    for i in range(100, 400):
        drift.observe(0.1, 0.1, now_s=i)
    assert drift.margin == pytest.approx(0.05)


def test_what_is_long_ago_counts_no_more_where_nothing_runs() -> None:
    drift = Drift()
    work(drift, 5, 2.0, now_s=10)
    drift.exit_s.see(0.3, 10)
    assert drift.has_drifted
    assert drift.forgotten_s(30) == 40
    drift.forget(69)
    assert (drift.ratio, drift.exit_s.value) == (2.0, 0.3)
    drift.forget(71)
    assert (drift.ratio, drift.stall_s, drift.exit_s.value) == (1.0, LEAST_STALL_S, 0.0)
    assert drift.forgotten_s(71) == 0
    assert not drift.has_drifted
    assert drift.margin == pytest.approx(1.0), "it may be slow again"
    drift.forget(10 + LONG_MEMORY_S + 1)
    assert drift.margin == 0.05
    work(drift, 5, 1.5, now_s=400)
    assert drift.ratio == pytest.approx(1.5)


def test_a_margin_that_was_given_is_not_forgotten() -> None:
    drift = Drift.told(0.2)
    drift.forget(1e6)
    assert (drift.ratio, drift.margin, drift.stall_s) == (1.0, 0.2, 0.0)


def test_time_that_nobody_took_note_of_closes_windows() -> None:
    drift = Drift()
    for _ in range(round(4 * WINDOW_S / 0.002)):  # one step in four
        drift.observe(0.0005, 0.001, busy_s=0.004)
    assert drift.ratio == pytest.approx(2.0)


def test_a_stall_of_a_step_that_was_not_looked_at() -> None:
    drift = Drift()
    drift.observe_long(0.001, 0.03)
    work(drift, 1.1 * WINDOW_S)
    assert drift.stall_s == pytest.approx(0.03 - 0.001 * 1.05)
    assert drift.slowest == pytest.approx(1.05)


def test_a_machine_that_is_exactly_as_told_has_the_margin_it_is_given() -> None:
    drift = Drift.told(0.2)
    assert (drift.ratio, drift.margin, drift.stall_s) == (1.0, 0.2, 0.0)


def test_steps_that_were_told_to_take_nothing_do_no_harm() -> None:
    drift = Drift()
    for _ in range(100):
        drift.observe(0.0, 0.01)
    work(drift, 10)
    assert drift.ratio == pytest.approx(1.0, abs=0.2)
