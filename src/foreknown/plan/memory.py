"""Plans the arena: where each value between phases lies, so that lives that overlap in time do
not overlap in space. Greedy by size, first fit by offset. `check_memory` trusts none of it.

Time is counted in meetings of all threads. Between two meetings a thread may be ahead of another
by any number of stages, so what one still reads the other must not overwrite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foreknown.graph.ir import Node, Symbol
from foreknown.plan.layout import ALIGNMENT, padded, row_bytes
from foreknown.plan.phases import Phase, meetings


@dataclass(frozen=True)
class Buffer:
    """A value's place in the arena, alive from one meeting to another, both included.

    Attributes:
        offset: bytes from the arena's start.
        bytes: for as many rows as a step may have.
    """

    value: Node
    offset: int
    bytes: int
    born: int
    dies: int


def plan_memory(
    phases: Sequence[Phase], results: Sequence[Node], *, max_tokens: int, max_rows: int
) -> tuple[Buffer, ...]:
    """A place for every value that crosses a phase's border.

    Args:
        results: values the caller reads after the last phase.
        max_tokens: T at most.
        max_rows: R at most.
    """
    rows: Mapping[Symbol | None, int] = {Symbol.T: max_tokens, Symbol.R: max_rows}
    born: dict[Node, int] = {}
    dies: dict[Node, int] = {}
    met = meetings(phases)
    for phase in phases:
        for value in phase.outputs:
            born[value] = dies[value] = met[phase.stage]
        for value in phase.inputs:
            if value in dies:
                dies[value] = max(dies[value], met[phase.stage])
    end = max(met.values(), default=0) + 1
    for value in results:
        if value in dies:
            dies[value] = end
    placed: list[Buffer] = []
    sizes = {v: padded(rows[v.rows] * row_bytes(v), ALIGNMENT) for v in born}
    for value in sorted(born, key=lambda v: (-sizes[v], born[v])):
        size = sizes[value]
        alive = [b for b in placed if b.born <= dies[value] and born[value] <= b.dies]
        offset = 0
        for other in sorted(alive, key=lambda b: b.offset):
            if offset + size <= other.offset:
                break
            offset = max(offset, other.offset + other.bytes)
        placed.append(Buffer(value, offset, size, born[value], dies[value]))
    return tuple(sorted(placed, key=lambda b: (b.born, b.offset)))


def arena_bytes(buffers: Sequence[Buffer]) -> int:
    """Size of the arena that holds them all."""
    return max((b.offset + b.bytes for b in buffers), default=0)
