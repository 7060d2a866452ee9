"""Runs calibration's probes: steps of many shapes, timed phase by phase, cold and warm."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact.sizes import program_sizes
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.machine.fit import Seen, SeenSet
from foreknown.machine.kernels import Attention
from foreknown.plan.costs import phase_kernels
from foreknown.plan.plan import Plan
from foreknown.plan.price import StepShape, decode_shape, prompt_shape
from foreknown.targets.cpu.probes import CONTEXT, PROBES, VOCABULARY, Probe, probe_plan
from foreknown.targets.cpu.program import Program
from foreknown.targets.cpu.source import Source, generate
from foreknown.targets.cpu.toolchain import cached_shared_object, find_target
from foreknown.targets.cpu.tools import flush

PROMPTS = (16, 32, 64, 128, 256, 512)
"""Tokens of prompts."""
BATCHES = (1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 17)
CONTEXTS = (41, 713)
LONG = ((1, 2505), (4, 1993))
"""(batch, context) of decode steps beside those of all batches in both contexts."""
LONG_TOKENS = 96
"""Steps of so many tokens compute; they are run cold only."""
WARM_BYTES = 12 << 20
"""What a last cache surely holds, of all that a step reads."""
SETTLING = 6
"""Steps until it does."""
SETS = tuple(size << 20 for size in (12, 16, 20, 24, 28, 32, 40, 48, 64))
"""Bytes that steps read again and again, a part of them from a last cache."""
SET_BATCH = 5
FLUSH_BYTES = 80 << 20
WAKINGS = 8
"""Steps of no tokens, which read nothing, before a cold one: threads slept while caches were
emptied, and may wake two on one processor, which the system parts after some milliseconds."""
TRIMMED = 0.1
"""Share of a step's times that is left out at either end."""
FILL = 0x3C
"""Of weights: in every format a number that makes no arithmetic slow."""


@dataclass(frozen=True)
class ProbeStep:
    """One shape of a step."""

    shape: StepShape
    batch: Batch

    @property
    def is_long(self) -> bool:
        """Whether it computes so much that where its weights come from does not matter."""
        return self.shape.tokens >= LONG_TOKENS


def probe_steps() -> list[ProbeStep]:
    """Every shape that is measured."""
    pairs = [(b, c) for b in BATCHES for c in CONTEXTS]
    steps = [ProbeStep(decode_shape(b, c), _decode(b, c)) for b, c in (*pairs, *LONG)]
    return steps + [ProbeStep(prompt_shape(0, n, 1), _prompt(n)) for n in PROMPTS]


def _decode(batch: int, context: int) -> Batch:
    blocks = -(-context // BLOCK_TOKENS)
    order = np.random.default_rng(batch).permutation(batch * blocks)  # blocks lie anywhere
    return Batch(
        tokens=np.arange(batch, dtype=np.int32) * 97 % VOCABULARY,
        positions=np.full(batch, context - 1, np.int32),
        sequence=np.arange(batch, dtype=np.int32),
        block_tables=order.astype(np.int32).reshape(batch, blocks),
        rows=np.arange(batch, dtype=np.int32),
    )


def _prompt(n_tokens: int) -> Batch:
    blocks = -(-n_tokens // BLOCK_TOKENS)
    return Batch(
        tokens=np.arange(n_tokens, dtype=np.int32) * 97 % VOCABULARY,
        positions=np.arange(n_tokens, dtype=np.int32),
        sequence=np.zeros(n_tokens, np.int32),
        block_tables=np.arange(blocks, dtype=np.int32)[None],
        rows=np.asarray([n_tokens - 1], np.int32),
    )


_NO_IDS = np.zeros(0, np.int32)
NOTHING = Batch(_NO_IDS, _NO_IDS, _NO_IDS, np.zeros((0, 0), np.int32), _NO_IDS)
"""No tokens."""


@dataclass(frozen=True)
class LoadedProbe:
    """A probe that can run."""

    probe: Probe
    plan: Plan
    program: Program

    @property
    def attention(self) -> tuple[Attention, ...]:
        """Its kernels that attend, of all phases."""
        kernels = (k for p in self.plan.phases for k in phase_kernels(p, self.plan.constants))
        return tuple(k for k in kernels if isinstance(k, Attention))

    def bytes_of(self, shape: StepShape) -> float:
        """What a step reads."""
        state = self.program.sizes.block_bytes / BLOCK_TOKENS
        return self.plan.weights_bytes + state * shape.kept


def build(probes: Sequence[Probe] = PROBES) -> list[tuple[Probe, Plan, Source]]:
    """Plan, generate and compile probes, as many at once as there are processors."""
    target = find_target("host")
    made = [(probe, plan := probe_plan(probe), generate(plan)) for probe in probes]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: cached_shared_object(one[2].text, target), made))
    return made


def load(made: Iterable[tuple[Probe, Plan, Source]], n_threads: int) -> list[LoadedProbe]:
    """Give probes their memory."""
    blocks = max(b * -(-c // BLOCK_TOKENS) for b in BATCHES for c in CONTEXTS)
    blocks = max([blocks, *(b * -(-c // BLOCK_TOKENS) for b, c in (*LONG, (SET_BATCH, CONTEXT)))])
    loaded = []
    for probe, plan, generated in made:
        program = Program(
            cached_shared_object(generated.text, find_target("host")),
            _weights(plan.weights_bytes),
            program_sizes(plan, generated),
            n_blocks=blocks,
            n_threads=n_threads,
        )
        program.fill_state(0.01)
        loaded.append(LoadedProbe(probe, plan, program))
    return loaded


def _weights(size: int) -> NDArray[np.uint8]:
    """Large pages, as models' weights lie in."""
    whole = mmap.mmap(-1, size + (2 << 20), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError, AttributeError):
        whole.madvise(mmap.MADV_HUGEPAGE)
    memory = np.frombuffer(whole, np.uint8)
    start = -memory.ctypes.data % (2 << 20)
    weights = memory[start : start + size]
    weights.fill(FILL)
    return weights


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
        self._sets = _set_steps(self._keeper)
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
                    program.step(step.batch)
                    self._take(p, s, program, step.batch, cold=False)
            yield
        program, phases = self._keeper.program, self._keeper.plan.phases
        attends = [place for place, phase in enumerate(phases) if phase.kind == "attend"]
        for step, samples in zip(self._sets, self._set_samples, strict=True):
            for _ in range(SETTLING):
                program.step(step.batch)
            samples.append(int(program.timed_step(step.batch)[1][attends].sum()))
            yield

    def _take(self, p: int, s: int, program: Program, batch: Batch, *, cold: bool) -> None:
        self.samples.setdefault((p, s, cold), []).append(program.timed_step(batch)[1])

    def noise(self) -> float:
        """How far the same step's times are apart, relative: half of the middle 80 percent."""
        spreads = []
        for rows in self.samples.values():
            totals = np.asarray([row.sum() for row in rows])
            if len(totals) > 1:
                low, middle, high = np.quantile(totals, (0.1, 0.5, 0.9))
                spreads.append((high - low) / 2 / middle)
        return float(np.median(spreads)) if spreads else 0.0

    def close(self) -> None:
        """End the probes' threads."""
        for probe in self.probes:
            probe.program.close()

    def seen(self) -> Iterator[Seen]:
        """What phases took: their shares of a step by medians over the rounds, of which neighbours
        spoil some; and the step by its own mean without the ends, for a model's step takes so much
        longer than a probe's that good moments and bad are in each."""
        for (p, s, cold), rows in self.samples.items():
            probe, shape = self.probes[p], self.steps[s].shape
            taken = np.stack(rows) / 1e9
            medians = np.median(taken, 0)
            seconds = medians * (_middle_mean(taken.sum(1)) / medians.sum())
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
                _middle_mean(np.asarray(samples)) / 1e9,
            )


def _set_steps(probe: LoadedProbe) -> list[ProbeStep]:
    """Decode steps that read so much, as far as the probe's context goes."""
    position = probe.bytes_of(decode_shape(1, 1)) - probe.plan.weights_bytes
    contexts = [int((size - probe.plan.weights_bytes) / position / SET_BATCH) for size in SETS]
    return [
        ProbeStep(decode_shape(SET_BATCH, context), _decode(SET_BATCH, context))
        for context in contexts
        if 0 < context <= CONTEXT
    ]


def _middle_mean(times: NDArray[Any]) -> float:
    left_out = int(TRIMMED * len(times))
    return float(np.sort(times)[left_out : len(times) - left_out].mean())


def is_alone(plan: Plan, shape: StepShape, n_threads: int) -> bool:
    """Whether threads run a lone token's row phases each for itself; see `fk_step`."""
    groups = [slot.values[0].row_shape[0] for slot in plan.slots if slot.kind == "attend"]
    return shape.tokens == 1 and 1 < n_threads <= min(groups, default=n_threads)
