"""Measures a model against this machine's limits, both in the same run and turn by turn.

    decode    share of limit = time that the step's bytes need at the bandwidth / time it took
    prefill   share of limit = time that the step's operations need at their peaks / time it took

The bandwidth is that of reading a working set of the weights' size with the same threads. Medians
of several rounds, each of which goes over limits and cases in turn: a neighbour's burst hits both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from foreknown.artifact import Artifact, load_program
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.machine import Machine, Work, arithmetic
from foreknown.plan.price import StepCosts, StepPrice
from foreknown.report.forecast import step_costs, step_price
from foreknown.report.phase_times import PhaseTimes, step_shape
from foreknown.report.resident import resident_bytes
from foreknown.report.tables import Table, bytes_text
from foreknown.targets.cpu.program import Program, Sizes
from foreknown.targets.cpu.tools import f32_gflop_s, int8_gop_s, read_gb_s

PREFILL_TOKENS = (16, 64, 128, 256, 512)
DECODE = (
    *((1, 16), (1, 256), (1, 1024), (1, 4096), (1, 8192)),
    *((2, 256), (4, 256), (8, 256), (16, 256), (16, 1024)),
)
"""(batch, context) of decode steps."""
QUICK_PREFILL, QUICK_DECODE = (16, 128), ((1, 16), (1, 256), (4, 256))

ROUNDS, QUICK_ROUNDS = 5, 3
CASE_SECONDS = 0.2
"""Of each case in each round."""
LARGEST_READ_BYTES = 512 << 20
"""Larger working sets are read no slower, and would have to be had beside the weights."""


@dataclass(frozen=True)
class Case:
    """One kind of step that is measured."""

    kind: str
    batch: int
    context: int
    step: Batch

    @property
    def tokens(self) -> int:
        return len(self.step.tokens)


@dataclass(frozen=True)
class Limits:
    """What the machine could do during the run, each a median over its rounds."""

    read_gb_s: float
    f32_gflop_s: float
    int8_gop_s: float

    def move(self, work: Work) -> float:
        """The least seconds for a step's bytes."""
        return work.bytes / self.read_gb_s / 1e9


@dataclass(frozen=True)
class Bench:
    """What was measured, ready for JSON and for people."""

    record: dict[str, Any]
    phase_times: PhaseTimes | None

    def print(self, file: TextIO) -> None:
        """For people."""
        limits, memory = self.record["machine"], self.record["memory"]
        columns = ("", "tok/s", "forecast", "share of limit")
        table = Table(self.record["title"], columns, right=columns[1:])
        for row in self.record["prefill"]:
            table.row(f"prefill {row['tokens']} tokens", *_speeds(row))
        for row in self.record["decode"]:
            table.row(f"decode batch {row['batch']}, context {row['context']}", *_speeds(row))
        table.print(file)
        file.write(
            f"limits: {limits['read_gb_s']:.1f} GB/s read, {limits['f32_gflop_s']:.0f} GFLOP/s in "
            f"f32, {limits['int8_gop_s']:.0f} GOP/s in int8, {limits['threads']} threads\n"
            f"memory: {bytes_text(memory['planned_bytes'])} planned, "
            f"{bytes_text(memory['measured_bytes'])} measured\n"
        )


def bench(
    artifact: Artifact,
    *,
    threads: int,
    machine: Machine | None = None,
    quick: bool = False,
    phases: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Bench:
    """Load an artifact and measure it.

    Args:
        machine: what forecasts are made from; None leaves them out.
        quick: fewer cases and rounds.
        phases: also time each phase.
    """
    costs, sizes = step_costs(artifact), artifact.manifest.sizes
    price = step_price(artifact, machine) if machine else None
    cases = make_cases(sizes, quick=quick)
    before = resident_bytes()
    needed = max(_blocks(case) for case in cases)
    whole = -(-sizes.context // BLOCK_TOKENS)
    loaded = load_program(artifact, sequences=-(-needed // whole), n_threads=threads)
    with loaded.program as program:
        program.poison()  # every page that was planned is touched, as in a server that is full
        largest = max(cases, key=lambda case: case.tokens)
        program.step(_at_the_end(largest.step, sizes.context))
        measured_bytes = resident_bytes() - before
        limits, times = _rounds(program, cases, artifact, quick, progress)
        phase_times = None
        if phases:
            phase_times = PhaseTimes(artifact)
            for case in cases:
                phase_times.add(case.step, program.timed_step(case.step)[1])
    weights = artifact.manifest.weights

    def rows(kind: str) -> list[dict[str, Any]]:
        return [
            {"weights": weights, **_row(case, statistics.median(took), costs, price, limits)}
            for case, took in zip(cases, times, strict=True)
            if case.kind == kind
        ]

    record = {
        "title": f"{artifact.directory.name}, {artifact.manifest.target}",
        "machine": {
            "read_gb_s": round(limits.read_gb_s, 3),
            "f32_gflop_s": round(limits.f32_gflop_s, 3),
            "int8_gop_s": round(limits.int8_gop_s, 3),
            "threads": threads,
            "name": price.machine.name if price else None,
        },
        "prefill": rows("prefill"),
        "decode": rows("decode"),
        "memory": {
            "planned_bytes": loaded.memory.total,
            "measured_bytes": measured_bytes,
        },
    }
    return Bench(record, phase_times)


def make_cases(sizes: Sizes, *, quick: bool) -> list[Case]:
    """The steps to measure, as far as the program's limits allow."""
    lengths = sorted({min(n, sizes.max_tokens, sizes.context) for n in PREFILL_TOKENS})
    if quick:
        lengths = sorted({min(n, sizes.max_tokens, sizes.context) for n in QUICK_PREFILL})
    pairs: dict[tuple[int, int], None] = {}
    for batch, context in QUICK_DECODE if quick else DECODE:
        largest = min(sizes.max_tokens, sizes.max_rows)
        pairs[min(batch, largest), min(context, sizes.context)] = None
    return [
        *(Case("prefill", 1, n, _prompt(n, sizes.vocab_size)) for n in lengths),
        *(Case("decode", b, c, _decode(b, c, sizes.vocab_size)) for b, c in pairs),
    ]


def _prompt(n_tokens: int, vocab_size: int) -> Batch:
    blocks = -(-n_tokens // BLOCK_TOKENS)
    return Batch(
        tokens=(np.arange(n_tokens) % vocab_size).astype(np.int32),
        positions=np.arange(n_tokens, dtype=np.int32),
        sequence=np.zeros(n_tokens, np.int32),
        block_tables=np.arange(blocks, dtype=np.int32)[None],
        rows=np.asarray([n_tokens - 1], np.int32),
    )


def _decode(batch: int, context: int, vocab_size: int) -> Batch:
    """The step in which each of `batch` sequences attends to `context` positions, its own last."""
    blocks = -(-context // BLOCK_TOKENS)
    return Batch(
        tokens=(np.arange(batch) % vocab_size).astype(np.int32),
        positions=np.full(batch, context - 1, np.int32),
        sequence=np.arange(batch, dtype=np.int32),
        block_tables=np.arange(batch * blocks, dtype=np.int32).reshape(batch, blocks),
        rows=np.arange(batch, dtype=np.int32),
    )


def _at_the_end(step: Batch, context: int) -> Batch:
    """A prompt's step, moved to the last positions of a full context."""
    positions = step.positions + (context - len(step.positions))
    table = np.arange(-(-context // BLOCK_TOKENS), dtype=np.int32)[None]
    return Batch(step.tokens, positions.astype(np.int32), step.sequence, table, step.rows)


def _blocks(case: Case) -> int:
    return int(case.step.block_tables.max()) + 1


def _rounds(
    program: Program,
    cases: Sequence[Case],
    artifact: Artifact,
    quick: bool,
    progress: Callable[[int, int], None],
) -> tuple[Limits, list[list[float]]]:
    """The machine's limits, and for each case the seconds of a step, one for each round."""
    read_bytes = min(artifact.manifest.weights_bytes, LARGEST_READ_BYTES)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    seconds = CASE_SECONDS / 4 if quick else CASE_SECONDS
    found: list[tuple[float, float, float]] = []
    times: list[list[float]] = [[] for _ in cases]
    done, total = 0, rounds * len(cases)
    for _ in range(rounds):
        n = program.n_threads
        found.append((read_gb_s(read_bytes, n), f32_gflop_s(n), int8_gop_s(n)))
        for case, took in zip(cases, times, strict=True):
            took.append(_seconds_of(program, case.step, seconds))
            done += 1
            progress(done, total)
    return Limits(*map(statistics.median, zip(*found, strict=True))), times


def _seconds_of(program: Program, step: Batch, seconds: float) -> float:
    """The median of as many steps as fit into some seconds, at least one."""
    took: list[float] = []
    while not took or sum(took) < seconds:
        start = time.perf_counter()
        program.step(step)
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def _row(
    case: Case,
    took: float,
    costs: StepCosts,
    price: StepPrice | None,
    limits: Limits,
) -> dict[str, Any]:
    shape = step_shape(case.step)
    row: dict[str, Any] = (
        {"tokens": case.tokens}
        if case.kind == "prefill"
        else {"batch": case.batch, "context": case.context}
    )
    work = costs.work(shape)
    least = arithmetic(limits, work) if case.kind == "prefill" else limits.move(work)
    expected = price.seconds(shape) if price else None
    return {
        **row,
        "tok_s": round(case.tokens / took, 2),
        "share_of_limit": round(least / took, 4),
        "forecast_tok_s": round(case.tokens / expected, 2) if expected else None,
        "step_ms": round(took * 1e3, 4),
    }


def _speeds(row: dict[str, Any]) -> tuple[str, str, str]:
    told = row["forecast_tok_s"]
    return (
        f"{row['tok_s']:,.0f}",
        f"{told:,.0f}" if told else "-",
        f"{row['share_of_limit']:.0%}",
    )
