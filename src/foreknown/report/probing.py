"""Runs calibration's probes: steps of many shapes, timed phase by phase, cold and warm."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact.sizes import program_sizes
from foreknown.artifact.weights_memory import large_pages
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.machine.fit import Seen, SeenSet
from foreknown.machine.kernels import Attention
from foreknown.plan.costs import phase_kernels
from foreknown.plan.plan import Plan
from foreknown.plan.price import StepShape
from foreknown.report.probe_steps import NOTHING, ProbeStep, most_blocks, probe_steps, set_steps
from foreknown.targets.cpu.probes import PROBES, Probe, probe_plan
from foreknown.targets.cpu.program import Program
from foreknown.targets.cpu.source import Source, generate
from foreknown.targets.cpu.toolchain import cached_shared_object, find_target
from foreknown.targets.cpu.tools import flush

WARM_BYTES = 14 << 20
"""What a last cache surely holds, of all that a step may read: of tables of positions, up to 4 MB,
it reads hardly anything."""
SETTLING = 6
"""Steps until it does."""
WARMING = 2
"""Steps of a shape before one that is warm."""
FLUSH_BYTES = 80 << 20
WAKINGS = 8
"""Steps of no tokens, which read nothing, before a cold one: threads slept while caches were
emptied, and may wake two on one processor, which the system parts after some milliseconds."""
PAUSE_S, PAUSE_ROW_S = 20e-6, 10e-6
"""After a step that leads to a warm one, and for each of its rows, about: what an engine takes from
one step to the next, in which caches lose some, and threads, if it is long, their turn."""
TRIMMED = 0.4
"""Share of a step's times that is left out at either end. For seconds the system has processors
where small steps take 1.5 times as long and large ones the same: of a mean over all of it, models
of half a billion weights and more were off by 3.6 to 4.7 percent, of the middle fifth by 1.3 to
2.4."""
RESTLESS = 0.75
"""Of steps, by how far their times are apart: the one that stands for all."""
FILL = 0x3C
"""Of weights: in every format a number that makes no arithmetic slow."""


@dataclass(frozen=True)
class LoadedProbe:
    """A probe that can run."""

    probe: Probe
    plan: Plan
    program: Program

    @property
    def position_bytes(self) -> float:
        """Of a position's state."""
        return self.program.sizes.block_bytes / BLOCK_TOKENS

    @property
    def attention(self) -> tuple[Attention, ...]:
        """Its kernels that attend, of all phases."""
        kernels = (k for p in self.plan.phases for k in phase_kernels(p, self.plan.constants))
        return tuple(k for k in kernels if isinstance(k, Attention))

    def bytes_of(self, shape: StepShape) -> float:
        """What a step reads."""
        return self.plan.weights_bytes + self.position_bytes * shape.kept


def build(probes: Sequence[Probe] = PROBES) -> list[tuple[Probe, Plan, Source]]:
    """Plan, generate and compile probes, as many at once as there are processors."""
    target = find_target("host")
    made = [(probe, plan := probe_plan(probe), generate(plan)) for probe in probes]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: cached_shared_object(one[2].text, target), made))
    return made


def load(made: Iterable[tuple[Probe, Plan, Source]], n_threads: int) -> list[LoadedProbe]:
    """Give probes their memory."""
    loaded = []
    for probe, plan, generated in made:
        sizes = program_sizes(plan, generated)
        weights = large_pages(plan.weights_bytes)
        weights.fill(FILL)
        program = Program(
            cached_shared_object(generated.text, find_target("host")),
            weights,
            sizes,
            n_blocks=most_blocks(plan.weights_bytes, sizes.block_bytes / BLOCK_TOKENS),
            n_threads=n_threads,
        )
        program.fill_state(0.01)
        loaded.append(LoadedProbe(probe, plan, program))
    return loaded


Samples = dict[tuple[int, int, bool], list[NDArray[np.int64]]]
"""Nanoseconds of phases by probe, step, and whether it was cold: one for each time it was run."""


class Rounds:
    """Runs every step of every probe, in rounds that go over all of them in turn.

    Attributes:
        samples: so far.
    """

    def __init__(self, probes: Sequence[LoadedProbe]) -> None:
        self.probes, self.steps = probes, probe_steps()
        self.samples: Samples = {}
        self._keeper = max(probes, key=lambda probe: probe.program.sizes.block_bytes)
        self._sets = set_steps(self._keeper.plan.weights_bytes, self._keeper.position_bytes)
        self._set_samples: list[list[int]] = [[] for _ in self._sets]

    def run(self) -> None:
        """One round."""
        for _ in self.turns():
            pass

    def turns(self) -> Iterator[None]:
        """The same in parts of some milliseconds, between which others may compute.

        Every step is first run after other memory was read. Then come those that the last cache
        can hold, once it does: it takes what it is given only after a few steps. In the end come
        those that it can hold a part of, of the probe that keeps most.
        """
        for p, probe in enumerate(self.probes):
            program = probe.program
            for s, step in enumerate(self.steps):
                flush(FLUSH_BYTES, program.n_threads)
                for _ in range(WAKINGS):
                    program.step(NOTHING)
                self._take(p, s, program, step.batch, cold=True)
                yield
            for _ in range(SETTLING):
                program.step(self.steps[0].batch)
            for s, step in enumerate(self.steps):
                if not step.is_long and probe.bytes_of(step.shape) <= WARM_BYTES:
                    _run_up(program, step, WARMING)
                    self._take(p, s, program, step.batch, cold=False)
            yield
        program, phases = self._keeper.program, self._keeper.plan.phases
        attends = [place for place, phase in enumerate(phases) if phase.kind == "attend"]
        for step, samples in zip(self._sets, self._set_samples, strict=True):
            _run_up(program, step, SETTLING)
            samples.append(int(program.timed_step(step.batch)[1][attends].sum()))
            yield

    def _take(self, p: int, s: int, program: Program, batch: Batch, *, cold: bool) -> None:
        self.samples.setdefault((p, s, cold), []).append(program.timed_step(batch)[1])

    def noise(self) -> float:
        """How far the same step's times are apart, relative: half of the middle 80 percent. Of all
        steps the upper quartile, for a quarter of a minute sees a fifth less than minutes do."""
        spreads = []
        for rows in self.samples.values():
            totals = np.asarray([row.sum() for row in rows])
            if len(totals) > 1:
                low, middle, high = np.quantile(totals, (0.1, 0.5, 0.9))
                spreads.append((high - low) / 2 / middle)
        return float(np.quantile(spreads, RESTLESS)) if spreads else 0.0

    def close(self) -> None:
        """End the probes' threads."""
        for probe in self.probes:
            probe.program.close()

    def seen(self) -> Iterator[Seen]:
        """What phases took, their shares of what their step took, each by its own middle: what a
        neighbour spoils is one phase in one round, and another in the next."""
        for (p, s, cold), rows in self.samples.items():
            probe, shape = self.probes[p], self.steps[s].shape
            taken = np.stack(rows) / 1e9
            means = _middle_mean(taken)
            seconds = means * (_middle_mean(taken.sum(1)) / means.sum())
            alone = is_alone(probe.plan, shape, probe.program.n_threads)
            for phase, one in zip(probe.plan.phases, seconds, strict=True):
                per_row = phase.rows.value == "R"
                if per_row and shape.rows != shape.tokens:
                    continue  # a row beside a prompt's tokens is in no state that is known
                yield Seen(
                    phase_kernels(phase, probe.plan.constants),
                    shape.rows if per_row else shape.tokens,
                    alone,
                    shape.attended,
                    shape.kept,
                    cold,
                    float(one),
                )

    def seen_sets(self) -> Iterator[SeenSet]:
        """What attention took in steps that a last cache can hold a part of."""
        keeper = self._keeper
        for step, samples in zip(self._sets, self._set_samples, strict=True):
            yield SeenSet(
                round(keeper.bytes_of(step.shape)),
                keeper.attention,
                step.shape.tokens,
                step.shape.kept,
                float(_middle_mean(np.asarray(samples))) / 1e9,
            )


def _run_up(program: Program, step: ProbeStep, times: int) -> None:
    """A step so often, with a pause after each."""
    for _ in range(times):
        program.step(step.batch)
        until = time.perf_counter() + PAUSE_S + PAUSE_ROW_S * step.shape.rows
        while time.perf_counter() < until:
            pass


def _middle_mean(times: NDArray[Any]) -> Any:
    left_out = int(TRIMMED * len(times))
    return np.sort(times, 0)[left_out : len(times) - left_out].mean(0)


def is_alone(plan: Plan, shape: StepShape, n_threads: int) -> bool:
    """Whether threads run a lone token's row phases each for itself; see `fk_step`."""
    groups = [slot.values[0].row_shape[0] for slot in plan.slots if slot.kind == "attend"]
    return shape.tokens == 1 and 1 < n_threads <= min(groups, default=n_threads)
