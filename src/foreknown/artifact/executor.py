"""A model compiled straight into this process, without an artifact: for coverage and calibration,
where it lives for a few steps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact.pack import Weights, pack
from foreknown.artifact.sizes import program_sizes
from foreknown.graph.batch import Batch
from foreknown.passes.pipeline import lower
from foreknown.plan.plan import Limits, Plan, make_plan
from foreknown.targets.cpu.program import Program
from foreknown.targets.cpu.source import generate
from foreknown.targets.cpu.toolchain import cache_directory, cached_shared_object, find_target


def start(plan: Plan, weights: Weights, *, n_blocks: int, n_threads: int) -> Program:
    """A plan's program for this machine, its weights packed into a file without a name.

    Raises:
        UnsupportedOp: the target has no lowering for an operation.
    """
    generated = generate(plan)
    shared_object = cached_shared_object(generated.text, find_target("host"))
    with tempfile.TemporaryFile(dir=cache_directory()) as file:
        file.truncate(max(plan.weights_bytes, 1))
        pack(plan.constants.values(), weights, file)
        file.flush()
        packed = np.memmap(file, np.uint8, "r")
    sizes = program_sizes(plan, generated)
    return Program(shared_object, packed, sizes, n_blocks=n_blocks, n_threads=n_threads)


def compiled(captured: Any, n_blocks: int) -> Callable[[Batch], NDArray[np.float32]]:
    """A step of the compiled program over `n_blocks` blocks: an executor as coverage wants one.

    Args:
        captured: graph, weights and context, as `capture` returns them.
    """
    limits = Limits(captured.context, max_tokens=64, max_rows=64)
    plan = make_plan(lower(captured.graph, limits.context), limits)
    program = start(plan, captured.weights, n_blocks=n_blocks, n_threads=2)
    program.poison()
    return lambda batch: program.step(batch).copy()
