"""A machine's description: what a step can count on, what it draws, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from foreknown.errors import MachineError
from foreknown.machine.kernel_costs import KernelCosts

AGAIN = "foreknown calibrate measures this machine again"
LEAST, MOST = 1e-6, 1e12
"""Of what is measured, in whatever unit: beyond lie slips of the pen, and times that overflow."""
MOST_USD_PER_HOUR = 10_000.0
MOST_WATTS = 100_000.0
SURE = 2.4
"""Times its noise that a machine strays, but for one time in a thousand: noise is half of what the
middle 80 of 100 measurements spread over, 1.28 standard deviations of 3.1."""


@dataclass(frozen=True)
class Machine:
    """What a step can count on, with a given number of threads.

    Attributes:
        name: for people; for the host, its processor's.
        threads: of a step.
        read_gb_s: pairs of a working set in bytes, ascending, and the bandwidth of reading it
            over and over, in 1e9 bytes a second.
        f32_gflop_s: multiply-adds counted as two operations, in 1e9 a second.
        int8_gop_s: the same of exact products of rows' 8-bit codes with weights' of 4 bits.
        barrier_us: what a meeting of all threads between two stages takes.
        first_touch_gb_s: memory that is written for the first time, in 1e9 bytes a second.
        kernels: what the generator's own kernels take; None: only bounds are known.
        estimated: whether nobody measured it: its numbers follow from its features.
        quiet: whether nothing else ran while it was measured.
        noise: how far repeats of the same step are apart, relative.
        idle_watts: drawn while nothing runs.
        busy_watts: drawn in a step.
        watts_from: where these come from.
        usd_per_hour: what it costs; 0: nobody said.
        features: of the processor that code is chosen by.
        date: when it was measured, as in 2026-11-25; "" if it was not.

    Raises:
        MachineError: a number that no machine has.
    """

    name: str
    threads: int
    read_gb_s: tuple[tuple[int, float], ...]
    f32_gflop_s: float
    int8_gop_s: float
    barrier_us: float
    first_touch_gb_s: float = 2.0
    kernels: KernelCosts | None = None
    estimated: bool = False
    quiet: bool = True
    noise: float = 0.0
    idle_watts: float = 0.0
    busy_watts: float = 0.0
    watts_from: str = "not known"
    usd_per_hour: float = 0.0
    features: tuple[str, ...] = ()
    date: str = ""

    def __post_init__(self) -> None:
        sizes = [size for size, _ in self.read_gb_s]
        if not sizes or sizes != sorted(set(sizes)) or sizes[0] <= 0:
            raise MachineError("the working sets are not in ascending order", remedy=AGAIN)
        for name, value in (
            ("f32_gflop_s", self.f32_gflop_s),
            ("int8_gop_s", self.int8_gop_s),
            ("threads", self.threads),
            ("first_touch_gb_s", self.first_touch_gb_s),
            *((f"read_gb_s of {size} bytes", speed) for size, speed in self.read_gb_s),
        ):
            if not LEAST <= value <= MOST:
                raise MachineError(
                    f"{name} is {value}, where a number from {LEAST:g} to {MOST:g} is expected",
                    remedy=AGAIN,
                )
        for name, value in (("barrier_us", self.barrier_us), *_numbers(self.kernels)):
            if not 0 <= value <= MOST:
                raise MachineError(
                    f"{name} is {value}, where a number from 0 to {MOST:g} is expected",
                    remedy=AGAIN,
                )
        _check_shares(self.kernels.streamed_shares if self.kernels else ((1, 1.0),))
        if not (math.isfinite(self.noise) and 0 <= self.noise <= 10):
            raise MachineError(f"the noise is {self.noise}, no share of a time", remedy=AGAIN)
        check_price(self.usd_per_hour)
        check_watts(self.idle_watts, self.busy_watts)

    @property
    def margin(self) -> float:
        """Share by which steps are slower than told at most; of an estimate, its noise is that."""
        return self.noise if self.estimated else SURE * self.noise

    def bandwidth_gb_s(self, working_set_bytes: float) -> float:
        """Bandwidth of reading a working set, between the measured ones by its logarithm."""
        below = self.read_gb_s[0]
        for above in self.read_gb_s:
            if working_set_bytes <= above[0]:
                if above is below:
                    break
                part = math.log(working_set_bytes / below[0]) / math.log(above[0] / below[0])
                return below[1] + part * (above[1] - below[1])
            below = above
        return below[1]

    def streamed_share(self, working_set_bytes: float) -> float:
        """How much of a working set comes from memory each time, the rest from the last cache; all
        of it where kernels were not measured."""
        return self.kernels.streamed_share(working_set_bytes) if self.kernels else 1.0


def check_price(usd_per_hour: float) -> None:
    """Whether a price makes sense.

    Raises:
        MachineError: says what would.
    """
    if not (math.isfinite(usd_per_hour) and 0 <= usd_per_hour <= MOST_USD_PER_HOUR):
        raise MachineError(
            f"{usd_per_hour} USD an hour is no price of a machine",
            remedy=f"give a number from 0 to {MOST_USD_PER_HOUR:,.0f}",
        )


def check_watts(idle: float, busy: float) -> None:
    """Whether a machine can draw so much.

    Raises:
        MachineError: says what would make sense.
    """
    for name, watts in (("idle", idle), ("busy", busy)):
        if not (math.isfinite(watts) and 0 <= watts <= MOST_WATTS):
            raise MachineError(
                f"{watts} W {name} are not what a machine draws",
                remedy=f"give numbers from 0 to {MOST_WATTS:,.0f}: IDLE,BUSY",
            )
    if busy < idle:
        raise MachineError(
            f"a machine that draws {idle:g} W idle does not draw {busy:g} W busy",
            remedy="give the smaller number first: IDLE,BUSY",
        )


def _check_shares(shares: tuple[tuple[int, float], ...]) -> None:
    sizes, parts = ([pair[place] for pair in shares] for place in (0, 1))
    if not sizes or sizes != sorted(set(sizes)) or sizes[0] <= 0:
        raise MachineError("streamed_shares are not of ascending working sets", remedy=AGAIN)
    if parts != sorted(parts) or not 0 <= parts[0] <= parts[-1] <= 1:
        raise MachineError(
            "streamed_shares are not ascending parts of working sets, from 0 to 1", remedy=AGAIN
        )


def _numbers(kernels: KernelCosts | None) -> Iterator[tuple[str, float]]:
    """Every number of the kernels' costs, with its name."""
    if kernels is None:
        return
    for part in (*kernels.products, *kernels.attention, *kernels.rows, kernels.engine):
        for name, value in vars(part).items():
            for number in value if isinstance(value, tuple) else (value,):
                if not isinstance(number, str):
                    yield name, number
