"""What runs a graph, all with one face, so that one file of tests serves every target (law 6).

An executor takes a graph, its weights and the steps to run one after another, and returns every
output of every step. The interpreter is the one that the others are compared with.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact.pack import pack
from foreknown.artifact.sizes import program_sizes
from foreknown.graph import interpret
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.graph.bf16 import to_bf16
from foreknown.graph.ir import DTYPES, Graph, Node, Symbol
from foreknown.graph.state import State
from foreknown.graph.text import print_graph
from foreknown.plan.phases import held
from foreknown.plan.plan import Limits, Plan, make_plan
from foreknown.targets.cpu.program import Program, Sizes
from foreknown.targets.cpu.source import Source, generate
from foreknown.targets.cpu.toolchain import cached_shared_object, find_target

Array = NDArray[Any]
Weights = Mapping[str, Array]
Outputs = dict[str, Array]
Executor = Callable[[Graph, Weights, Sequence[Batch]], list[Outputs]]

LIMITS = Limits(context=128, max_tokens=64, max_rows=64)


@dataclass(frozen=True)
class Compiled:
    """A graph compiled for the cpu, ready to be started any number of times."""

    graph: Graph
    plan: Plan
    source: Source
    weights: Array
    weights_file: Path

    @property
    def sizes(self) -> Sizes:
        """What `Program` must be given."""
        return program_sizes(self.plan, self.source)

    def shared_object(self, target: str = "host") -> Path:
        """Compiled on first use, then from the user's cache."""
        return cached_shared_object(self.source.text, find_target(target))

    @contextmanager
    def program(
        self, *, n_blocks: int, n_threads: int = 2, target: str = "host", poison: bool = True
    ) -> Iterator[Program]:
        """A started program whose memory is full of NaN unless told otherwise."""
        made = self.shared_object(target)
        with Program(
            made, self.weights, self.sizes, n_blocks=n_blocks, n_threads=n_threads
        ) as program:
            if poison:
                program.poison()
            yield program

    def outputs(self, program: Program, batch: Batch) -> Outputs:
        """Run a step and read all outputs from the arena, not only the logits."""
        program.step(batch)
        return {n: self._output(program, v, batch) for n, v in self.graph.outputs.items()}

    def _output(self, program: Program, value: Node, batch: Batch) -> Array:
        source = held(value)
        (buffer,) = (b for b in self.plan.buffers if b.value is source)
        rows = len(batch.tokens if value.rows is Symbol.T else batch.rows)
        dtype = DTYPES[value.dtype]
        end = buffer.offset + rows * value.row_size * dtype.itemsize
        found = program._arena[buffer.offset : end].view(dtype)
        return found.reshape(rows, *value.row_shape).copy()


class Memory:
    """A weight source that hands out arrays in the format that their nodes say is stored."""

    def __init__(self, graph: Graph, weights: Weights) -> None:
        self.weights = weights
        self.stored = {
            str(n.attrs["name"]): str(n.attrs["stored"]) for n in graph.nodes if n.op == "weight"
        }

    def read(self, name: str) -> Array:
        """f32, or uint16 with the bits of bf16 or f16, or i32."""
        value = self.weights[name]
        stored = self.stored[name]
        if stored == "bf16":
            return to_bf16(value)
        return value.astype(np.float16).view(np.uint16) if stored == "f16" else value


def compiled(
    graph: Graph, weights: Weights, limits: Limits = LIMITS, *, stored: str = "as stored"
) -> Compiled:
    """Plan, generate and pack; the C is compiled when a program is first started."""
    plan = make_plan(graph, limits, weights=stored)
    source = generate(plan)
    descriptor, name = tempfile.mkstemp(dir=_directory())
    file = Path(name)
    with os.fdopen(descriptor, "w+b") as out:
        out.truncate(plan.weights_bytes)
        pack(plan.constants.values(), Memory(graph, weights), out)
    size = max(plan.weights_bytes, 1)
    mapped = np.memmap(file, np.uint8, "r") if plan.weights_bytes else np.zeros(size, np.uint8)
    return Compiled(graph, plan, source, mapped, file)


@cache
def _directory() -> str:
    directory = tempfile.TemporaryDirectory(prefix="foreknown-tests-")
    _kept.append(directory)
    return directory.name


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Removed when the process ends."""


def random_weights(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """Values of modest size for every weight, exactly representable in its stored format."""
    found: dict[str, Array] = {}
    for node in graph.nodes:
        if node.op != "weight":
            continue
        name = str(node.attrs["name"])
        rng = np.random.default_rng([seed, *name.encode()])
        shape = node.row_shape
        if node.dtype == "i32":
            found[name] = rng.integers(0, 8, shape).astype(np.int32)
            continue
        value = rng.normal(size=shape) / np.sqrt(shape[-1] if len(shape) > 1 else 4)
        found[name] = rounded(value.astype(np.float32), str(node.attrs["stored"]))
    return found


def rounded(value: Array, stored: str) -> Array:
    """f32 values that the stored format holds exactly."""
    if stored == "bf16":
        return (to_bf16(value).astype(np.uint32) << 16).view(np.float32)
    return value.astype(np.float16).astype(np.float32) if stored == "f16" else value


def blocks_of(steps: Sequence[Batch]) -> int:
    """Blocks that a pool needs for these steps."""
    used = [s.block_tables[s.sequence, s.positions // BLOCK_TOKENS] for s in steps]
    return max((int(u.max()) for u in used if u.size), default=0) + 1


def interpreter(graph: Graph, weights: Weights, steps: Sequence[Batch]) -> list[Outputs]:
    """The meaning of every operation."""
    state = State(blocks_of(steps))
    return [interpret.run(graph, step, weights, state) for step in steps]


def cpu(
    graph: Graph,
    weights: Weights,
    steps: Sequence[Batch],
    *,
    target: str = "host",
    n_threads: int = 2,
) -> list[Outputs]:
    """The program in C, its memory full of NaN before the first step."""
    made = compiled(graph, weights)
    with made.program(n_blocks=blocks_of(steps), target=target, n_threads=n_threads) as program:
        return [made.outputs(program, step) for step in steps]


EXECUTORS: Mapping[str, Executor] = {"interpreter": interpreter, "cpu": cpu}
"""Every way to run a graph. A new target is right when it passes with its line added here."""


@dataclass
class Mix:
    """Sequences being run in steps of any mix, with the tokens of each step remembered."""

    lengths: Sequence[int]
    seed: int
    vocab_size: int

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.texts = [rng.integers(0, self.vocab_size, n).astype(np.int32) for n in self.lengths]

    def steps(
        self, seed: int, *, max_tokens: int = 64, interleave: bool = False, whole: bool = False
    ) -> tuple[Batch, ...]:
        """Steps that bring every sequence to its end, in chunks, an order and blocks drawn anew.

        Args:
            interleave: whether tokens of different sequences alternate within a step.
            whole: whether each step is one sequence alone, in chunks as large as a step may be.
        """
        rng = np.random.default_rng(seed)
        each = [-(-n // BLOCK_TOKENS) for n in self.lengths]
        blocks = rng.permutation(sum(each) + 3).astype(np.int32)
        tables = np.full((len(each), max(each) + 1), blocks[0], np.int32)
        for s, n in enumerate(each):
            tables[s, :n] = blocks[1 + sum(each[:s]) : 1 + sum(each[: s + 1])]
        done = [0] * len(each)
        steps = []
        while left := [s for s, n in enumerate(self.lengths) if done[s] < n]:
            spans: list[tuple[int, int]] = []
            room = max_tokens
            chosen = [s for s in rng.permutation(left) if rng.random() < 0.7] or left[:1]
            for s in chosen[:1] if whole else chosen:
                n = self.lengths[s] - done[s]
                n = min(
                    n, room if whole else int(rng.choice([1, 1, 2, 5, 15, 16, 17, 33, 64])), room
                )
                spans += [(int(s), p) for p in range(done[s], done[s] + n)]
                done[s] += n
                room -= n
            if interleave:
                order = rng.permutation([s for s, _ in spans])
                queues = {s: [x for x in spans if x[0] == s] for s in set(order)}
                spans = [queues[s].pop(0) for s in order]
            sequence = np.array([s for s, _ in spans], np.int32)
            positions = np.array([p for _, p in spans], np.int32)
            tokens = np.array([self.texts[s][p] for s, p in spans], np.int32)
            rows = rng.permutation(len(spans)).astype(np.int32)
            steps.append(Batch(tokens, positions, sequence, tables, rows))
        return tuple(steps)


def by_token(steps: Sequence[Batch], results: Sequence[Array]) -> dict[tuple[int, int], Array]:
    """Rows of logits by (sequence, position), whatever the mix they were computed in."""
    found = {}
    for step, logits in zip(steps, results, strict=True):
        for row, value in zip(step.rows, logits, strict=True):
            found[int(step.sequence[row]), int(step.positions[row])] = value.copy()
    return found


def assert_same_bits(found: Array, expected: Array) -> None:
    """Equality of every bit."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    bits = np.dtype(f"u{found.dtype.itemsize}")
    different = np.argwhere(found.view(bits) != expected.view(bits))
    assert not different.size, f"{len(different)} differ, first {different[0]}"


def show(graph: Graph) -> str:
    """The graph's text for a failure's message."""
    return print_graph(graph)
