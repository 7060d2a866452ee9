"""The least time of work: each phase waits for its bytes or its arithmetic, then for the others."""

from __future__ import annotations

import pytest

from foreknown.machine import Machine, Work, seconds

MACHINE = Machine("a machine", 2, ((1 << 20, 50.0),), 100.0, 400.0, 2.0)


def test_each_phase_waits_for_what_it_lacks_most() -> None:
    moves, computes = Work(bytes=50e9, flops=1e9), Work(bytes=1e9, flops=300e9)
    assert seconds(MACHINE, [moves], 1, 0) == pytest.approx(1)
    assert seconds(MACHINE, [computes], 1, 0) == pytest.approx(3)
    assert seconds(MACHINE, [moves, computes], 1, 0) == pytest.approx(4)


def test_integers_have_a_peak_of_their_own() -> None:
    both = Work(bytes=1.0, flops=100e9, int8_ops=800e9)
    assert seconds(MACHINE, [both], 1, 0) == pytest.approx(3)


def test_barriers_are_paid_for() -> None:
    assert seconds(MACHINE, [], 1, 5) == pytest.approx(10e-6)
