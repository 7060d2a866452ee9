"""What each phase costs, as formulas in the step's tokens T, selected rows R and context C.

    linear, T rows of k into n: bytes = weights + T (row of k + row of n) ops = 2 T n k
    attend, T tokens over C:    bytes = T C (kept row)                    ops = 2 T C heads (k + v)
    rows:                       bytes = T (rows read + rows written)      ops = T elements

Bytes of weights are moved once a step, whatever T is, which is why batches pay. Operations are
floating-point ones (flops), but those of products of codes, which are exact integers (int8_ops).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.graph.ir import Node, Symbol
from foreknown.graph.ops import REDUCTION
from foreknown.machine.kernels import Attention, Kernel, Product, Recurrence, Rows
from foreknown.plan.constants import Constant
from foreknown.plan.layout import row_bytes
from foreknown.plan.phases import Phase, held
from foreknown.plan.state import block_bytes, kept_as, state_slot

FREE = frozenset("reshape permute slice broadcast select_rows shift".split())
"""Row operations that move nothing by themselves: their users read elsewhere."""
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
    """Bytes moved and operations of one phase or step."""

    bytes: Formula = Formula()
    flops: Formula = Formula()
    int8_ops: Formula = Formula()

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.bytes + other.bytes, self.flops + other.flops, self.int8_ops + other.int8_ops
        )


def phase_cost(phase: Phase, constants: dict[Node, Constant]) -> Cost:
    """The cost of one phase, from its nodes' shapes alone."""
    cost = Cost()
    for node in phase.nodes:
        cost = cost + _node_cost(node, phase.rows, constants)
    if phase.kind == "rows":
        moved = sum(row_bytes(v) for v in (*phase.inputs, *phase.outputs))
        moved += sum(row_bytes(v) for s in phase.stores for v in s.values)
        cost = cost + Cost(bytes=_per(phase.rows, moved))
    return cost


def _per(rows: Symbol, amount: float) -> Formula:
    return Formula(per_token=amount) if rows is Symbol.T else Formula(per_row=amount)


def _own_bytes(product: Node) -> int:
    """Bytes of a product's operand and result, for each row."""
    return row_bytes(held(product.args[0])) + row_bytes(product)


def _products(node: Node, rows: Symbol, weights: Constant) -> Cost:
    """Multiplications and additions of a product, of codes or of floating-point numbers."""
    ops = _per(rows, 2 * node.row_size * weights.node.row_shape[-1])
    return Cost(int8_ops=ops) if weights.layout == "lowbit" else Cost(flops=ops)


def _node_cost(node: Node, rows: Symbol, constants: dict[Node, Constant]) -> Cost:
    match node.op:
        case "linear":
            _, w = node.args
            moved = Formula(constant=constants[w].bytes) + _per(rows, _own_bytes(node))
            return Cost(moved) + _products(node, rows, constants[w])
        case "experts":
            _, w, index = node.args
            chosen = constants[w].bytes / w.row_shape[0] * index.row_size
            moved = _per(rows, chosen + _own_bytes(node))
            return Cost(moved) + _products(node, rows, constants[w])
        case "attend":
            q, k, v = node.args[:3]
            window = node.number("window") or node.number("chunk")
            kept = block_bytes(state_slot(node)) / BLOCK_TOKENS
            heads, codes = q.row_shape[0], kept_as(k) == "int8"
            dots, sums = (2 * heads * x.row_shape[1] for x in (k, v))

            def per(amount: float) -> Formula:
                return _per(rows, amount * window) if window else Formula(per_context=amount)

            flops = per(sums if codes else dots + sums)
            return Cost(per(kept), flops, per(dots) if codes else Formula())
        case "scan":
            return Cost(_per(rows, 12 * node.row_size), _per(rows, 4 * node.row_size))
        case "take":
            table, index = node.args
            if table not in constants:  # a single number, which stands in the code
                return Cost()
            row = constants[table].bytes / table.row_shape[0]
            return Cost(bytes=_per(rows, row * index.row_size))
        case "matmul":
            return Cost(flops=_per(rows, 2 * node.row_size * node.args[0].row_shape[-1]))
        case op:
            return Cost(flops=_per(rows, node.row_size * (10 if op in TRANSCENDENTAL else 1)))


def phase_kernels(phase: Phase, constants: dict[Node, Constant]) -> tuple[Kernel, ...]:
    """What one phase asks of a machine, in the terms in which machines are measured."""
    if phase.kind == "rows":
        return (_rows_kernel(phase, constants),)
    return tuple(_kernel(node, constants) for node in phase.nodes)


def _kernel(node: Node, constants: dict[Node, Constant]) -> Kernel:
    match node.op:
        case "linear" | "experts":
            x, w, *index = node.args
            *groups, n, k = w.row_shape
            weights = _format(constants[w])
            if index:
                return Product(weights, n, k, experts=w.row_shape[0], chosen=index[0].row_size)
            matrices = prod(groups)
            return Product(weights, n, k, matrices, x.row_size // (matrices * k))
        case "attend":
            queries, keys, values = node.args[:3]
            slot = state_slot(node)
            return Attention(
                kept_as(keys),
                heads=queries.row_shape[0],
                groups=keys.row_shape[0],
                width=keys.row_shape[1],
                value_width=values.row_shape[1],
                window=int(node.number("window") or node.number("chunk")),
                kept_bytes=block_bytes(slot) / BLOCK_TOKENS,
            )
        case _:
            return Recurrence(node.row_size)


def _format(weights: Constant) -> str:
    node = weights.node
    return f"{weights.stored}/{node.integer('group')}" if node.op == "lowbit" else weights.stored


def _rows_kernel(phase: Phase, constants: dict[Node, Constant]) -> Rows:
    counts: dict[str, float] = {}

    def add(kind: str, amount: float) -> None:
        counts[kind] = counts.get(kind, 0.0) + amount

    for node in phase.nodes:
        size = node.row_size
        match node.op:
            case "take":
                table = constants.get(node.args[0])
                lowbit = table is not None and table.layout == "lowbit"
                add("unpacked" if lowbit else "looked_up", size)
            case "quantise":
                add("quantised", size)
            case "matmul":
                add("cheap", size * node.args[0].row_shape[-1])
            case "topk_values" | "topk_indices":
                add("sorted", node.args[0].row_size * node.integer("k"))
            case op if op in REDUCTION or op in {"argmax", "cumsum"}:
                add("reduced", node.args[0].row_size)
            case op if op in TRANSCENDENTAL:
                add("function", size)
            case op if op not in FREE:
                add("cheap", size)
    for slot in phase.stores:
        add("stored", sum(value.row_size for value in slot.values))
    moved = sum(row_bytes(v) for v in (*phase.inputs, *phase.outputs))
    moved += sum(row_bytes(v) for s in phase.stores for v in s.values)
    add("kilobytes", moved / 1024)
    return Rows(tuple(sorted(counts.items())))
