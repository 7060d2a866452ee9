"""Everything decided before the run: phases, constants, the arena, the state's blocks."""

from __future__ import annotations

from dataclasses import dataclass
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
    """A graph placed in time and memory, before any target has seen it."""

    graph: Graph
    limits: Limits
    phases: tuple[Phase, ...]
    constants: dict[Node, Constant]
    buffers: tuple[Buffer, ...]
    slots: tuple[StateSlot, ...]

    @cached_property
    def weights_bytes(self) -> int:
        """Size of the packed weights file."""
        return file_bytes(self.constants.values())

    @cached_property
    def arena_bytes(self) -> int:
        """Size of the arena for values between phases."""
        return arena_bytes(self.buffers)

    @property
    def logits(self) -> Buffer:
        """Where a step leaves f32[R, vocabulary]."""
        logits = held(self.graph.outputs["logits"])
        return next(b for b in self.buffers if b.value is logits)


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
    slots = dict.fromkeys(state_slot(n) for n in graph.nodes if n.op in PAST)
    return Plan(graph, limits, phases, place_constants(graph, weights), buffers, tuple(slots))
