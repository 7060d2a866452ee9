"""Measuring goes over everything in rounds and tells how far it is."""

from __future__ import annotations

from foreknown.machine import Probes, measure
from foreknown.machine.measure import ROUNDS, WORKING_SETS


def test_medians_of_bandwidths_and_the_best_of_peaks_count() -> None:
    reads, peaks, barriers = iter(range(1, 100)), iter([4.0, 5.0, 3.0]), iter([3.0, 1.0, 2.0])
    told: list[tuple[int, int]] = []
    machine = measure(
        Probes(
            read_gb_s=lambda size, threads, seconds: float(next(reads)),
            f32_gflop_s=lambda threads, seconds: next(peaks),
            int8_gop_s=lambda threads, seconds: 7.0,
            barrier_us=lambda threads: next(barriers),
        ),
        3,
        lambda done, total: told.append((done, total)),
    )
    count = len(WORKING_SETS)
    assert machine.threads == 3
    assert machine.name
    assert machine.read_gb_s == tuple(
        (size, float((count * (ROUNDS // 2)) + 1 + i)) for i, size in enumerate(WORKING_SETS)
    )
    assert machine.f32_gflop_s == 5.0
    assert machine.int8_gop_s == 7.0
    assert machine.barrier_us == 1.0
    assert told[-1] == (ROUNDS * (count + 2), ROUNDS * (count + 2))
