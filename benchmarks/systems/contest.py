"""Runs every case on every system in turn, round after round, beside the machine's own limits.

Systems stand side by side in memory; one works while the others sleep. In each round each case
goes over all systems before the next case begins, so that a slower minute of the machine meets
them all.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from systems.case import Case
from systems.worker import Worker


@dataclass
class Contestant:
    """A system with one format of weights, loaded, and what was measured of it.

    Attributes:
        step_bytes: that a step of each case must read.
        step_s: of each case, the median seconds of a step, one for each round.
    """

    system: str
    weights: str
    worker: Worker
    facts: dict[str, Any] = field(default_factory=dict)
    step_bytes: dict[Case, float] = field(default_factory=dict)
    step_s: dict[Case, list[float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.system} {self.weights}"

    def speeds(self, case: Case) -> list[float]:
        """Tokens a second, one for each round."""
        return [case.tokens_of_step / seconds for seconds in self.step_s[case]]


Probe = Callable[[], float]
"""Measures a limit of the machine once."""


def hold(
    contestants: Sequence[Contestant],
    cases: Sequence[Case],
    probes: Mapping[str, Probe],
    *,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> dict[str, list[float]]:
    """Measure everything; returns what each probe said, one for each round.

    Args:
        seconds: of each case of each system in each round, at least one step.
    """
    for contestant in contestants:
        progress(f"preparing {contestant.name}")
        for case in cases:
            contestant.step_bytes[case] = contestant.worker.ask("prepare", case=case.record())
            contestant.step_s[case] = []
        contestant.facts = contestant.worker.ask("facts")
        contestant.facts["resident_bytes"] = contestant.worker.ask("resident_bytes")
    limits: dict[str, list[float]] = {name: [] for name in probes}
    for number in range(rounds):
        for name, probe in probes.items():
            limits[name].append(probe())
        for case in cases:
            progress(f"round {number + 1} of {rounds}: {case.name}")
            for contestant in contestants:
                took = contestant.worker.ask("measure", case=case.record(), seconds=seconds)
                contestant.step_s[case].append(statistics.median(took))
    for contestant in contestants:
        contestant.facts["idle_processor_s"] = round(contestant.worker.idle_s, 3)
    return limits
