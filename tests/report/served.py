"""A model that is never run: round prices, a round machine, and random traffic."""

from __future__ import annotations

from dataclasses import replace

from foreknown.engine.snapshot import Capacity
from foreknown.plan.price import StepShape
from foreknown.report.simulation import Served
from tests.report import machines

MACHINE = replace(machines.MACHINE, idle_watts=10.0, busy_watts=30.0, usd_per_hour=0.36)


class RoundPrice:
    """A millisecond a step, a tenth of one a token."""

    def seconds(self, step: StepShape) -> float:
        return 1e-3 + 1e-4 * step.tokens


def round_served(sequences: int = 4, context: int = 256) -> Served:
    capacity = Capacity(64, 16, sequences * context // 16, context)
    return Served(
        "a model", MACHINE, RoundPrice(), MACHINE.margin, capacity, 1 << 30, {"machine": "made up"}
    )
