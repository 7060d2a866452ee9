"""What each phase costs, as formulas in the step's tokens T, selected rows R and context C.

    linear, T rows of k into n:   bytes = weights + 4 T (k + n)      flops = 2 T n k
    attend, T tokens over C:      bytes = 4 T C (kept row)           flops = 2 T C heads (k + v)
    rows:                         bytes = 4 T (read + written)       flops = T (elements computed)

Bytes of weights are moved once a step, whatever T is, which is why batches pay.
"""

from __future__ import annotations

from dataclasses import dataclass

from foreknown.graph.ir import Node, Symbol
from foreknown.plan.constants import Constant
from foreknown.plan.phases import Phase

TRANSCENDENTAL = frozenset("exp expm1 log log1p tanh sigmoid erf sin cos pow rsqrt".split())


@dataclass(frozen=True)
class Formula:
    """constant + per_token T + per_row R + per_context T C."""

    constant: float = 0.0
    per_token: float = 0.0
    per_row: float = 0.0
    per_context: float = 0.0

    def __add__(self, other: Formula) -> Formula:
        return Formula(
            self.constant + other.constant,
            self.per_token + other.per_token,
            self.per_row + other.per_row,
            self.per_context + other.per_context,
        )

    def at(self, *, tokens: int, rows: int, context: float) -> float:
        """The formula's value for a step; `context` is the mean over its tokens."""
        return (
            self.constant
            + self.per_token * tokens
            + self.per_row * rows
            + self.per_context * tokens * context
        )


@dataclass(frozen=True)
class Cost:
    """Bytes moved and floating-point operations of one phase or step."""

    bytes: Formula = Formula()
    flops: Formula = Formula()

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.bytes + other.bytes, self.flops + other.flops)


def phase_cost(phase: Phase, constants: dict[Node, Constant]) -> Cost:
    """The cost of one phase, from its nodes' shapes alone."""
    cost = Cost()
    for node in phase.nodes:
        cost = cost + _node_cost(node, phase.rows, constants)
    if phase.kind == "rows":
        moved = sum(4 * v.row_size for v in (*phase.inputs, *phase.outputs))
        moved += sum(4 * v.row_size for s in phase.stores for v in s.values)
        cost = cost + Cost(bytes=_per(phase.rows, moved))
    return cost


def _per(rows: Symbol, amount: float) -> Formula:
    return Formula(per_token=amount) if rows is Symbol.T else Formula(per_row=amount)


def _node_cost(node: Node, rows: Symbol, constants: dict[Node, Constant]) -> Cost:
    match node.op:
        case "linear":
            x, w = node.args
            moved = Formula(constant=constants[w].bytes) + _per(
                rows, 4 * (x.row_size + node.row_size)
            )
            return Cost(moved, _per(rows, 2 * node.row_size * w.row_shape[-1]))
        case "experts":
            x, w, index = node.args
            chosen = constants[w].bytes / w.row_shape[0] * index.row_size
            own = 4 * (x.row_size + node.row_size)
            return Cost(_per(rows, chosen + own), _per(rows, 2 * node.row_size * w.row_shape[-1]))
        case "attend":
            q, k, v = node.args[:3]
            window = node.number("window") or node.number("chunk")
            kept, heads = 4 * (k.row_size + v.row_size), q.row_shape[0]
            work = 2 * heads * (k.row_shape[1] + v.row_shape[1])
            if window:
                return Cost(_per(rows, kept * window), _per(rows, work * window))
            return Cost(Formula(per_context=kept), Formula(per_context=work))
        case "scan":
            return Cost(_per(rows, 12 * node.row_size), _per(rows, 4 * node.row_size))
        case "take":
            return Cost(bytes=_per(rows, 4 * node.row_size))
        case "matmul":
            return Cost(flops=_per(rows, 2 * node.row_size * node.args[0].row_shape[-1]))
        case op:
            return Cost(flops=_per(rows, node.row_size * (10 if op in TRANSCENDENTAL else 1)))
