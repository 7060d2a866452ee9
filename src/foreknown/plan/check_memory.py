"""Checks a memory map by running time past it; shares no code with the planner (law 9).

For every stage it paints the bytes of each buffer that some phase still needs, and refuses a
byte painted twice, a buffer too small for its rows, and a value read that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from foreknown.errors import PlanError
from foreknown.graph.ir import Node, Symbol
from foreknown.plan.memory import Buffer
from foreknown.plan.phases import GIVEN, Phase


def check_memory(
    phases: Sequence[Phase],
    buffers: Iterable[Buffer],
    results: Sequence[Node],
    *,
    max_tokens: int,
    max_rows: int,
) -> None:
    """Refuse a memory map under which a step could read a value that is no longer there.

    Raises:
        PlanError: with the two buffers, or the phase, and the stage.
    """
    place = {b.value: b for b in buffers}
    for value, buffer in place.items():
        rows = max_tokens if value.rows is Symbol.T else max_rows
        item = 1 if value.dtype == "bool" else 4
        need = rows * int(np.prod(value.row_shape, dtype=np.int64)) * item
        if buffer.bytes < need or buffer.offset < 0 or buffer.offset % 64:
            raise PlanError(f"{value!r} needs {need} aligned bytes, {buffer} is what it was given")
    for value in (v for p in phases for v in p.outputs):
        if value not in place:
            raise PlanError(f"{value!r} crosses a phase's border and has no place in the arena")
    stages = sorted({p.stage for p in phases})
    written: set[Node] = set()
    last_read = dict.fromkeys(results, stages[-1] + 1)
    for phase in phases:
        for value in phase.inputs:
            last_read[value] = max(last_read.get(value, -1), phase.stage)
    for stage in stages:
        now = [p for p in phases if p.stage == stage]
        for phase in now:
            for value in phase.inputs:
                if value not in written:
                    raise PlanError(f"{value!r} is read at stage {stage} before it is written")
        written.update(v for p in now for v in p.outputs)
        held = [place[v] for v in written if last_read.get(v, -1) >= stage]
        held += [place[v] for p in now for v in p.outputs if last_read.get(v, -1) < stage]
        edges = sorted((b.offset, b.offset + b.bytes, i) for i, b in enumerate(held) if b.bytes)
        for (_, end, i), (start, _, j) in pairwise(edges):
            if start < end:
                raise PlanError(
                    f"at stage {stage} {held[i].value!r} and {held[j].value!r} share bytes",
                    where=f"{held[i]} and {held[j]}",
                )
    for value in results:
        if value.op not in GIVEN and value not in written:
            raise PlanError(f"{value!r} is a result that no phase writes")
