"""A captured model compiled straight into this process, without an artifact on disk: for coverage
and tests, where a model lives for a few steps.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact.build import lower
from foreknown.artifact.pack import Weights, pack
from foreknown.artifact.sizes import program_sizes
from foreknown.graph.batch import Batch
from foreknown.graph.ir import Graph
from foreknown.passes.pipeline import AS_STORED, Formats
from foreknown.plan.plan import Limits, make_plan
from foreknown.targets.cpu.program import Program
from foreknown.targets.cpu.source import generate
from foreknown.targets.cpu.toolchain import cached_shared_object, find_target


@dataclass(frozen=True)
class InMemory:
    """How to compile and start a graph without an artifact.

    Attributes:
        n_blocks: blocks of state.
        n_threads: threads of a step.
        target: an instruction set that this machine can run.
        formats: of weights and state.
    """

    n_blocks: int
    n_threads: int = 2
    target: str = "host"
    formats: Formats = AS_STORED

    def compile(self, graph: Graph, weights: Weights, limits: Limits) -> Program:
        """Passes, plan, source, object, packed weights, program.

        Raises:
            UnsupportedOp: the target has no lowering for an operation.
        """
        lowered = lower(graph, limits.context, self.formats)
        plan = make_plan(lowered, limits, weights=self.formats.weights)
        generated = generate(plan)
        shared_object = cached_shared_object(generated.text, find_target(self.target))
        packed = io.BytesIO(bytes(plan.weights_bytes))
        pack(plan.constants.values(), weights, packed)
        data = np.frombuffer(packed.getbuffer(), np.uint8)
        sizes = program_sizes(plan, generated)
        return Program(shared_object, data, sizes, n_blocks=self.n_blocks, n_threads=self.n_threads)


def compiled(captured: Any, n_blocks: int) -> Callable[[Batch], NDArray[np.float32]]:
    """A step of the compiled program over `n_blocks` blocks: an executor as coverage wants one.

    Args:
        captured: graph, weights and context, as `capture` returns them.
    """
    limits = Limits(captured.context, max_tokens=64, max_rows=64)
    program = InMemory(n_blocks).compile(captured.graph, captured.weights, limits)
    program.poison()
    return lambda batch: program.step(batch).copy()
