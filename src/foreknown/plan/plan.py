"""Everything decided before the run: phases, constants, the arena, the state's blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from foreknown.graph.ir import Graph, Node
from foreknown.graph.ops import PAST
from foreknown.plan.check_memory import check_memory
from foreknown.plan.constants import Constant, file_bytes, place_constants
from foreknown.plan.memory import Buffer, arena_bytes, plan_memory
from foreknown.plan.phases import Phase, fuse, held
from foreknown.plan.state import StateSlot, state_slot


@dataclass(frozen=True)
class Limits:
    """How large a step and a sequence may be.

    Attributes:
        context: tokens of the longest sequence.
        max_tokens: T at most.
        max_rows: R at most.
    """

    context: int
    max_tokens: int = 512
    max_rows: int = 64


@dataclass(frozen=True)
class Plan:
    """A graph placed in time and memory, before any target has seen it.

    Attributes:
        buffers: values between phases, in the arena.
        own_buffers: where a thread keeps the row phases' values of a lone token for itself.
    """

    graph: Graph
    limits: Limits
    phases: tuple[Phase, ...]
    constants: dict[Node, Constant]
    buffers: tuple[Buffer, ...]
    own_buffers: tuple[Buffer, ...]
    slots: tuple[StateSlot, ...]

    @cached_property
    def weights_bytes(self) -> int:
        """Size of the packed weights file."""
        return file_bytes(self.constants.values())

    @cached_property
    def arena_bytes(self) -> int:
        """Size of the arena for values between phases."""
        return arena_bytes(self.buffers)

    @cached_property
    def own_bytes(self) -> int:
        """Size of a thread's own arena, which all threads but the first need."""
        return arena_bytes(self.own_buffers)

    @property
    def logits(self) -> Buffer:
        """Where a step leaves f32[R, vocabulary]."""
        return self._buffer_of(self.graph.outputs["logits"])

    @property
    def hidden(self) -> Buffer | None:
        """Where a step leaves f32[R, hidden_size], the rows that the head reads, if it does."""
        hidden = self.graph.outputs.get("hidden")
        return None if hidden is None else self._buffer_of(hidden)

    def _buffer_of(self, result: Node) -> Buffer:
        source = held(result)
        return next(b for b in self.buffers if b.value is source)


def make_plan(graph: Graph, limits: Limits, *, weights: str = "as stored") -> Plan:
    """Fuse, lay out and place a graph, and have the result checked.

    Raises:
        PlanError: the memory map is wrong (a defect of the planner, never of the input).
    """
    phases = fuse(graph)
    results = tuple(map(held, graph.outputs.values()))
    sizes = {"max_tokens": limits.max_tokens, "max_rows": limits.max_rows}
    buffers = plan_memory(phases, results, **sizes)
    check_memory(phases, buffers, results, **sizes)
    alone = [replace(p, outputs=p.outputs if p.kind == "rows" else ()) for p in phases]
    own_buffers = plan_memory(alone, results, max_tokens=1, max_rows=1)
    slots = dict.fromkeys(state_slot(n) for n in graph.nodes if n.op in PAST)
    constants = place_constants(graph, weights)
    return Plan(graph, limits, phases, constants, buffers, own_buffers, tuple(slots))
