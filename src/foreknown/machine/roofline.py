"""The least time that work takes on a machine: each phase waits for its bytes or its arithmetic.

    seconds = sum over phases of max(bytes / bandwidth, flops / peak) + stages x barrier

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (2009).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from foreknown.machine.machine import Machine


@dataclass(frozen=True)
class Work:
    """What one phase of a step moves and computes."""

    bytes: float
    flops: float


def seconds(
    machine: Machine, phases: Iterable[Work], working_set_bytes: float, stages: int
) -> float:
    """The least seconds of a step.

    Args:
        working_set_bytes: everything that steps read again and again.
        stages: barriers of the step.
    """
    bandwidth = machine.bandwidth_gb_s(working_set_bytes) * 1e9
    peak = machine.f32_gflop_s * 1e9
    work = sum(max(phase.bytes / bandwidth, phase.flops / peak) for phase in phases)
    return work + stages * machine.barrier_us / 1e6
