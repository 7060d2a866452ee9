"""Checks a memory map by running time past it; shares no code with the planner (law 9).

For every span between two meetings of the threads it paints the bytes of each buffer that some
phase still needs, and refuses a byte painted twice, a buffer too small for its rows, and a value
read that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

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
        need = rows * _row_bytes(value)
        if buffer.bytes < need or buffer.offset < 0 or buffer.offset % 64:
            raise PlanError(f"{value!r} needs {need} aligned bytes, {buffer} is what it was given")
    for value in (v for p in phases for v in p.outputs):
        if value not in place:
            raise PlanError(f"{value!r} crosses a phase's border and has no place in the arena")
    spans = _between_meetings(phases)
    written: set[Node] = set()
    last_read = dict.fromkeys(results, len(spans))
    for number, span in enumerate(spans):
        for value in (v for p in span for v in p.inputs):
            last_read[value] = max(last_read.get(value, -1), number)
    for number, span in enumerate(spans):
        for phase in span:
            for value in phase.inputs:
                if value not in written:
                    raise PlanError(
                        f"{value!r} is read at stage {phase.stage} before it is written"
                    )
            written.update(phase.outputs)
        held = [place[v] for v in written if last_read.get(v, -1) >= number]
        held += [place[v] for p in span for v in p.outputs if last_read.get(v, -1) < number]
        edges = sorted((b.offset, b.offset + b.bytes, i) for i, b in enumerate(held) if b.bytes)
        for (_, end, i), (start, _, j) in pairwise(edges):
            if start < end:
                raise PlanError(
                    f"{held[i].value!r} and {held[j].value!r} share bytes at {span[-1].stage}",
                    where=f"{held[i]} and {held[j]}",
                )
    for value in results:
        if value.op not in GIVEN and value not in written:
            raise PlanError(f"{value!r} is a result that no phase writes")


def _row_bytes(value: Node) -> int:
    size = int(np.prod(value.row_shape, dtype=np.int64))
    if value.op == "quantise":  # codes of a byte; a scale and a start of 4 bytes for each group
        group = value.attrs["group"]
        assert isinstance(group, int)
        return size + size // group * 8
    return size if value.dtype == "bool" else size * 4


def _between_meetings(phases: Sequence[Phase]) -> list[list[Phase]]:
    """Phases that threads may be in at the same time, when a lone token lets them run ahead."""
    spans: list[list[Phase]] = [[]]
    for _, group in groupby(sorted(phases, key=lambda p: p.stage), lambda p: p.stage):
        spans[-1] += (together := list(group))
        if any(p.kind != "rows" for p in together):
            spans.append([])
    return [span for span in spans if span]
