"""The schedule ends decayed whenever its time is up."""

from __future__ import annotations

from training.schedule import Schedule


def test_warms_up_holds_and_decays_by_the_clock() -> None:
    schedule = Schedule(budget_s=1000.0, decay_share=0.25)
    assert schedule.rate(0, 0.0) < 0.02
    assert schedule.rate(5000, 500.0) == 1.0
    assert schedule.rate(5000, 875.0) == 0.5
    assert schedule.rate(5000, 999.0) == 0.02
    assert not schedule.is_over(999.0)
    assert schedule.is_over(1000.0)


def test_a_run_that_goes_on_warms_up_sooner_and_lower() -> None:
    schedule = Schedule(budget_s=1000.0, decay_share=0.5, peak=0.5, warmup_steps=10)
    assert schedule.rate(4, 1.0) == 0.25
    assert schedule.rate(10, 1.0) == 0.5
    assert schedule.rate(5000, 750.0) == 0.25
