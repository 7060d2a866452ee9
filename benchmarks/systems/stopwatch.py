"""Seconds of a case's steps, taken in the same way for every system."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from systems.case import DECODE, MOST_STEPS, PREFILL, Case

WARM_UP_STEPS = 2
"""Of a decode case: they wake threads and bring the weights' pages back."""


class System(Protocol):
    """What a system must be able to do."""

    def facts(self) -> dict[str, Any]:
        """Version and settings, for the record."""

    def step_bytes(self, case: Case) -> float:
        """Bytes of weights and state that a step of the case must read."""

    def rewind(self, case: Case) -> None:
        """Go to where the case begins: a prompt, or a round of decoding; the first time, compute
        what lies before."""

    def step(self, case: Case) -> None:
        """Run the next step."""


def answers(system: System) -> Mapping[str, Callable[..., Any]]:
    """What a worker that measures can be asked."""

    def prepare(case: dict[str, Any]) -> float:
        _seconds_of_steps(system, Case(**case), seconds=0)
        return system.step_bytes(Case(**case))

    def measure(case: dict[str, Any], seconds: float) -> list[float]:
        return _seconds_of_steps(system, Case(**case), seconds)

    return {
        "facts": system.facts,
        "prepare": prepare,
        "measure": measure,
        "resident_bytes": resident_bytes,
    }


def _seconds_of_steps(system: System, case: Case, seconds: float) -> list[float]:
    """Seconds of each of as many steps as fit into some seconds, at least one."""
    warm_up = WARM_UP_STEPS if case.metric == DECODE else 0
    took: list[float] = []
    while len(took) <= warm_up or (sum(took[warm_up:]) < seconds and len(took) < MOST_STEPS):
        if case.metric == PREFILL or not took:
            system.rewind(case)
        start = time.perf_counter()
        system.step(case)
        took.append(time.perf_counter() - start)
    return took[warm_up:]


def resident_bytes() -> int:
    """Memory of this process, mapped files included."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024
