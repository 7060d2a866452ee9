"""The least time that work takes on a machine: each phase waits for its bytes or its arithmetic.

    seconds = sum over phases of max(bytes / bandwidth, flops / peak + int8 / its peak)
            + meetings x barrier

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (2009).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from foreknown.machine.machine import Machine


class Peaks(Protocol):
    """Operations that can be had, in 1e9 a second: of a description, or of a measurement."""

    @property
    def f32_gflop_s(self) -> float: ...
    @property
    def int8_gop_s(self) -> float: ...


@dataclass(frozen=True)
class Work:
    """What one phase of a step moves and computes."""

    bytes: float
    flops: float
    int8_ops: float = 0.0

    @property
    def ops(self) -> float:
        """Operations of every kind."""
        return self.flops + self.int8_ops


def seconds(
    machine: Machine, phases: Iterable[Work], working_set_bytes: float, meetings: int
) -> float:
    """The least seconds of a step.

    Args:
        working_set_bytes: everything that steps read again and again.
        meetings: of all threads in the step.
    """
    bandwidth = machine.bandwidth_gb_s(working_set_bytes) * 1e9
    work = sum(max(phase.bytes / bandwidth, arithmetic(machine, phase)) for phase in phases)
    return work + meetings * machine.barrier_us / 1e6


def arithmetic(peaks: Peaks, work: Work) -> float:
    """The least seconds of a phase's operations."""
    return work.flops / peaks.f32_gflop_s / 1e9 + work.int8_ops / peaks.int8_gop_s / 1e9
