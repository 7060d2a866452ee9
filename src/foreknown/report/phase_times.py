"""Law 5: every phase's forecast beside what it took, with GB/s, GOP/s and share of the limit.

FOREKNOWN_DEBUG is a ladder: 2 prints this for every command that runs steps.
"""

from __future__ import annotations

import ctypes
import os
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact import Artifact
from foreknown.graph.batch import Batch
from foreknown.machine import Machine
from foreknown.plan.price import StepPrice, StepShape
from foreknown.report.forecast import step_costs
from foreknown.report.instructions import machine_for
from foreknown.report.tables import Table
from foreknown.targets.cpu.program import Program


def debug_level() -> int:
    """FOREKNOWN_DEBUG, 0 if it is not set or no number."""
    text = os.environ.get("FOREKNOWN_DEBUG", "0")
    return int(text) if text.isdecimal() else 0


def step_shape(batch: Batch) -> StepShape:
    """What a batch's cost depends on."""
    attended = batch.positions.astype(np.int64) + 1
    kept = np.zeros(len(batch.block_tables), np.int64)
    np.maximum.at(kept, batch.sequence, attended)
    return StepShape(len(batch.tokens), len(batch.rows), float(attended.sum()), float(kept.sum()))


class PhaseTimes:
    """Sums over steps; those of one row for each token (decode) and the others (prefill) apart."""

    def __init__(self, artifact: Artifact) -> None:
        self.costs, self._target = step_costs(artifact), artifact.manifest.target
        self._kinds: dict[str, list[tuple[StepShape, NDArray[np.int64]]]] = {}

    def add(self, batch: Batch, phase_ns: NDArray[np.int64]) -> None:
        """What one step took."""
        shape = step_shape(batch)
        kind = "decode" if shape.rows == shape.tokens else "prefill"
        self._kinds.setdefault(kind, []).append((shape, phase_ns))

    def print(self, machine: Machine | None, file: TextIO) -> None:
        """A table for each kind of step, mean over its steps; without a machine, no limits."""
        for kind, steps in self._kinds.items():
            self._print(kind, steps, machine, file)

    def _print(
        self,
        kind: str,
        steps: list[tuple[StepShape, NDArray[np.int64]]],
        machine: Machine | None,
        file: TextIO,
    ) -> None:
        titles = "stage phase forecast_us measured_us GB/s GOP/s share".split()
        table = Table(f"{kind}: mean of {len(steps)} steps", titles, right=titles[2:] + titles[:1])
        measured = np.mean([ns for _, ns in steps], axis=0) / 1e9
        works = [self.costs.works(shape) for shape, _ in steps]
        price = StepPrice(self.costs, machine_for(self._target, machine)) if machine else None
        told = (
            np.mean([price.phase_seconds(shape) for shape, _ in steps], axis=0) if price else None
        )
        total = [0.0, 0.0, 0.0, 0.0]
        for i, phase in enumerate(self.costs.phases):
            moved = float(np.mean([work[i].bytes for work in works]))
            ops = float(np.mean([work[i].ops for work in works]))
            own = [0.0 if told is None else float(told[i]), float(measured[i]), moved, ops]
            table.row(phase.stage, phase.function, *_cells(own))
            total = [a + b for a, b in zip(total, own, strict=True)]
        table.row("", "all", *_cells(total))
        table.print(file)


def _cells(numbers: list[float]) -> tuple[str, ...]:
    expected, measured, moved, ops = numbers
    if measured <= 0:
        return (f"{expected * 1e6:.1f}", "0.0", "-", "-", "-")
    return (
        f"{expected * 1e6:.1f}",
        f"{measured * 1e6:.1f}",
        f"{moved / measured / 1e9:.1f}",
        f"{ops / measured / 1e9:.1f}",
        f"{expected / measured:.0%}" if expected else "-",
    )


class TimedProgram:
    """A program that notes what each of its phases takes, for an engine to run."""

    def __init__(self, program: Program, times: PhaseTimes) -> None:
        self._program, self._times = program, times
        self.vocab_size, self.context = program.vocab_size, program.context
        self.max_tokens, self.max_rows = program.max_tokens, program.max_rows
        self.n_blocks, self.rewindable = program.n_blocks, program.rewindable
        self.hidden_size, self.hidden = program.hidden_size, program.hidden
        self.copy_block = program.copy_block
        self.library: ctypes.CDLL = program.library

    def step(self, batch: Batch) -> NDArray[np.float32]:
        logits, phase_ns = self._program.timed_step(batch)
        self._times.add(batch, phase_ns)
        return logits


def timed(artifact: Artifact, program: Program) -> tuple[PhaseTimes, TimedProgram]:
    """A program whose steps are timed, and where the times go."""
    times = PhaseTimes(artifact)
    return times, TimedProgram(program, times)
