"""Who watches the clocks: a step or a sleep is one jump, a correction is none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foreknown.engine.clock import EVERY_NS, ClockWatch, MonotonicClock

SECOND = 1_000_000_000


class Clocks:
    """The time of day and the time since the machine was started."""

    def __init__(self) -> None:
        self.now, self.day, self.boot = 0, 1_700_000_000 * SECOND, 50 * SECOND
        self.watch = ClockWatch(lambda: (self.day, self.boot))

    def run(self, seconds: float, day_rate: float = 1.0) -> None:
        for _ in range(round(seconds * 10)):
            self.now += SECOND // 10
            self.boot += SECOND // 10
            self.day += round(day_rate * SECOND / 10)
            self.watch.look(self.now)


def test_time_that_passes_is_no_jump() -> None:
    clocks = Clocks()
    clocks.run(100)
    assert clocks.watch.n_jumps == 0


@given(st.integers(-(10**6), 10**6).filter(lambda s: s != 0))
def test_a_time_of_day_that_is_set_is_one_jump(step_s: int) -> None:
    clocks = Clocks()
    clocks.run(5)
    clocks.day += step_s * SECOND
    clocks.run(5)
    assert clocks.watch.n_jumps == 1


def test_a_sleep_is_one_jump() -> None:
    clocks = Clocks()
    clocks.run(5)
    clocks.day += 3600 * SECOND
    clocks.boot += 3600 * SECOND
    clocks.run(5)
    assert clocks.watch.n_jumps == 1
    clocks.boot += 10 * SECOND
    clocks.day += 10 * SECOND
    clocks.run(5)
    assert clocks.watch.n_jumps == 2


def test_a_clock_that_is_corrected_slowly_does_not_jump() -> None:
    clocks = Clocks()
    clocks.run(100, day_rate=1.0005)
    clocks.run(100, day_rate=0.9)
    assert clocks.watch.n_jumps == 0


def test_other_clocks_are_read_once_a_second() -> None:
    n_read = 0

    def others() -> tuple[int, ...]:
        nonlocal n_read
        n_read += 1
        return (0,)

    watch = ClockWatch(others)
    for now_ns in range(0, 10 * SECOND, SECOND // 50):
        watch.look(now_ns)
    assert n_read == 10 * SECOND // EVERY_NS


def test_the_real_clocks_agree() -> None:
    watch, clock = ClockWatch(), MonotonicClock()
    before = clock.now_ns()
    watch.look(before)
    watch.look(before + EVERY_NS)  # the others have not moved by a second: that is a jump
    assert watch.n_jumps == 1
    assert clock.now_ns() >= before
