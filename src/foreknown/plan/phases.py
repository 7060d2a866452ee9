"""Fuses a graph into phases: what runs between two barriers.

Every node gets a *stage*, the number of barriers that must lie before it:

    before:  %h = add(%x, %a)  %n = mul(%h, ...)  %q = linear(%n, w)  %c = attend(%q, ...)
    after:   stage 4, rows:    %h, %n            each thread takes some of the tokens
             stage 5, linear:  %q                each thread takes some of the outputs
             stage 6, rows:    store %k, %v      ...
             stage 7, attend:  %c                each thread takes some (token, head group) pairs

A row operation reads only its own row, so it shares a stage with the row operations it reads.
Anything that gathers a whole vector (linear, experts) or other rows (attend, shift, scan, a
selection) needs its operands finished by all threads: one stage later. Phases of one stage do
not depend on each other and need no barrier between them.

In a step of a lone token there are no rows to share out. Every thread then runs the row phases for
itself, into rows of its own, and waits for nobody: threads *meet* only after stages that share out
outputs or heads. An ordinary layer has ten stages and five meetings.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from foreknown.graph.ir import Graph, Node, Symbol
from foreknown.graph.ops import PAST
from foreknown.plan.state import StateSlot, state_slot

PhaseKind = Literal["rows", "linear", "experts", "attend", "scan"]
_Key = tuple[int, PhaseKind, Symbol]
GIVEN = frozenset({"tokens", "positions", "rows"})
ANCHORS: dict[str, PhaseKind] = {
    "linear": "linear",
    "experts": "experts",
    "attend": "attend",
    "scan": "scan",
}


@dataclass(frozen=True)
class Phase:
    """Fused nodes that each thread runs over its share without waiting for another.

    Attributes:
        stage: barriers before it in a step.
        kind: how it is split over threads; see the module's drawing.
        rows: whether it runs over the step's tokens (T) or its selected rows (R).
        nodes: what it computes, arguments before users.
        inputs: values of rows that earlier phases computed.
        outputs: those of `nodes` that later phases, or the caller, read.
        stores: state slots whose rows it writes.
    """

    stage: int
    kind: PhaseKind
    rows: Symbol
    nodes: tuple[Node, ...]
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    stores: tuple[StateSlot, ...]


def held(value: Node) -> Node:
    """The value whose rows hold this one's bytes: a reshape of rows moves nothing."""
    while value.op == "reshape" and value.rows is not None:
        (value,) = value.args
    return value


class Staged(Protocol):
    """A phase, or its record in an artifact."""

    @property
    def stage(self) -> int: ...
    @property
    def kind(self) -> str: ...


def shared_stages(phases: Iterable[Staged]) -> set[int]:
    """Stages that share out outputs or heads, and so end in a meeting even for a lone token."""
    return {phase.stage for phase in phases if phase.kind != "rows"}


def meetings(phases: Sequence[Phase]) -> dict[int, int]:
    """For each stage, how many stages before it end in a meeting even for a lone token."""
    shared = sorted(shared_stages(phases))
    return {stage: bisect_left(shared, stage) for stage in {p.stage for p in phases}}


def fuse(graph: Graph) -> tuple[Phase, ...]:
    """The graph's phases in the order they run."""
    stages, stores = _stages(graph)
    members: dict[_Key, list[Node]] = defaultdict(list)
    for node, stage in stages.items():
        if node.op not in GIVEN and node.rows is not None:
            members[stage, ANCHORS.get(node.op, "rows"), node.rows].append(node)
    written: dict[_Key, list[StateSlot]] = defaultdict(list)
    for slot, stage in stores.items():
        key: _Key = (stage, "rows", Symbol.T)
        written[key].append(slot)
        members.setdefault(key, [])
    results = set(map(held, graph.outputs.values()))
    home = {node: key for key, nodes in members.items() for node in nodes}
    readers: dict[Node, set[_Key]] = defaultdict(set)
    for node, key in home.items():
        for arg in node.args:
            if _read_directly(node, arg):
                readers[held(arg)].add(key)
    for key, slots in written.items():
        for slot in slots:
            for value in slot.values:
                readers[held(value)].add(key)
    phases = []
    for key in sorted(members, key=lambda k: (k[0], k[1], k[2].value)):
        nodes, slots = members[key], written[key]
        read = [held(a) for n in nodes for a in n.args if _read_directly(n, a)]
        read += [held(v) for slot in slots for v in slot.values]
        inputs = [v for v in dict.fromkeys(read) if v in home and home[v] != key]
        outputs = [n for n in nodes if n in results or readers[n] - {key}]
        stage, kind, rows = key
        phases.append(
            Phase(stage, kind, rows, tuple(nodes), tuple(inputs), tuple(outputs), tuple(slots))
        )
    return tuple(phases)


def _read_directly(user: Node, value: Node) -> bool:
    """Whether a node reads a value's rows itself, rather than through the state in blocks."""
    if user.op == "shift":
        return False
    return user.op != "attend" or value in (user.args[0], *user.args[3:])


def _stages(graph: Graph) -> tuple[dict[Node, int], dict[StateSlot, int]]:
    stages: dict[Node, int] = {}
    stores: dict[StateSlot, int] = {}

    def finished(value: Node) -> int:
        """The first stage where every thread may read all of a value's rows."""
        value = held(value)
        return stages[value] + 1 if value in stages and value.op not in GIVEN else 0

    def same_row(value: Node) -> int:
        """The first stage where the thread that owns a row may read it."""
        value = held(value)
        return finished(value) if value.op in ANCHORS else stages.get(value, 0)

    for node in graph.nodes:
        if node.rows is None or held(node) is not node:
            continue
        if node.op in PAST and node.op != "scan":
            slot = state_slot(node)
            stores.setdefault(slot, max(same_row(v) for v in slot.values))
            stage = stores[slot] + 1
            if node.op == "attend":
                stage = max([stage, *(finished(a) for a in (node.args[0], *node.args[3:]))])
        elif node.op in ANCHORS or node.op == "select_rows":
            stage = max((finished(a) for a in node.args), default=0)
        else:
            stage = max((same_row(a) for a in node.args), default=0)
        stages[node] = stage
    return stages, stores
