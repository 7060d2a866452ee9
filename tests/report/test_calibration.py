"""How many rounds calibration takes: half a minute of them, or a quarter of the minutes given."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from foreknown.machine.fit import Seen
from foreknown.report import calibration
from foreknown.report.calibration import FEWEST_ROUNDS, MEASURE_SECONDS, measure_kernels
from tests.machine.random_machines import random_kernels

PROBE = SimpleNamespace(plan=SimpleNamespace(weights_bytes=1 << 20), program=None)


class World:
    """A clock, and rounds that take so long.

    Attributes:
        rounds: so far.
    """

    def __init__(self, round_s: float) -> None:
        self.now, self.rounds = 0.0, 0
        self.round_s, self.probes = round_s, (PROBE,)

    def run(self) -> None:
        self.rounds += 1
        self.now += self.round_s

    def noise(self) -> float:
        return 0.25

    def seen(self) -> Iterator[Seen]:
        return iter(())

    def close(self) -> None:
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> World:
    made = World(request.param)
    for name in ("build", "load"):
        monkeypatch.setattr(calibration, name, lambda *given: None)
    monkeypatch.setattr(calibration, "Rounds", lambda probes: made)
    monkeypatch.setattr(calibration, "fitted_costs", lambda *given: random_kernels(2))
    monkeypatch.setattr(time, "perf_counter", lambda: made.now)
    return made


@pytest.mark.parametrize("world", [0.5, 1.25, 2.0], indirect=True)
def test_half_a_minute_is_full_of_rounds(world: World) -> None:
    _, noise, _ = measure_kernels(2)
    assert noise == 0.25
    assert MEASURE_SECONDS - world.round_s <= world.now <= MEASURE_SECONDS
    assert world.rounds * world.round_s == pytest.approx(world.now)


@pytest.mark.parametrize("world", [0.5, 1.25, 2.0], indirect=True)
@pytest.mark.parametrize("minutes", [1, 7])
def test_minutes_are_full_of_them(world: World, minutes: int) -> None:
    told: list[tuple[int, int]] = []
    measure_kernels(2, lambda done, total: told.append((done, total)), minutes)
    assert 60 * minutes - world.round_s <= world.now <= 60 * minutes
    assert told == sorted(told)
    assert {total for _, total in told} == {60 * minutes}


@pytest.mark.parametrize("world", [300.0], indirect=True)
def test_a_slow_machine_takes_the_fewest(world: World) -> None:
    measure_kernels(2)
    assert world.rounds == FEWEST_ROUNDS
