"""Measures the machine this process runs on, with probes that the caller brings."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from foreknown.machine.machine import Machine
from foreknown.machine.processor import processor_name

MIB = 1 << 20
WORKING_SETS = tuple(size * MIB for size in (1, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256))
"""From a core's own cache to memory; larger sets read no slower."""

ROUNDS = 3
SECONDS_EACH = 0.05


@dataclass(frozen=True)
class Probes:
    """How to measure, each for a number of threads and about so many seconds.

    Attributes:
        read_gb_s: (working set in bytes, threads, seconds) → 1e9 bytes a second.
        f32_gflop_s: (threads, seconds) → 1e9 operations a second.
        int8_gop_s: the same for products of codes.
        barrier_us: threads → microseconds.
    """

    read_gb_s: Callable[[int, int, float], float]
    f32_gflop_s: Callable[[int, float], float]
    int8_gop_s: Callable[[int, float], float]
    barrier_us: Callable[[int], float]


def measure(
    probes: Probes, threads: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Machine:
    """The host's bounds with so many threads, in under five seconds.

    Rounds go over everything in turn, so that a neighbour's burst does not hit one number only.
    Of bandwidths the median counts, for what the memory gives to one comes and goes for hours; of
    peaks the best, for others can only slow a probe down.
    """
    total, done = ROUNDS * (len(WORKING_SETS) + 2), 0
    reads: dict[int, list[float]] = {size: [] for size in WORKING_SETS}
    peaks: dict[str, list[float]] = {"f32": [], "int8": []}
    for _ in range(ROUNDS):
        for size in WORKING_SETS:
            reads[size].append(probes.read_gb_s(size, threads, SECONDS_EACH))
            done += 1
            progress(done, total)
        for kind, probe in (("f32", probes.f32_gflop_s), ("int8", probes.int8_gop_s)):
            peaks[kind].append(probe(threads, SECONDS_EACH))
            done += 1
            progress(done, total)
    return Machine(
        name=processor_name(),
        threads=threads,
        read_gb_s=tuple((size, statistics.median(speeds)) for size, speeds in reads.items()),
        f32_gflop_s=max(peaks["f32"]),
        int8_gop_s=max(peaks["int8"]),
        barrier_us=min(probes.barrier_us(threads) for _ in range(3)),
    )
