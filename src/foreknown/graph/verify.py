"""Checks a graph against every rule of the IR, and proves that its rows are independent (law 2).

The rules are data: `NODE_RULES` hold of each node alone, `GRAPH_RULES` of all of them together,
`ROW_PROOFS` say for each operation when row i of its result depends on row i of its arguments
and on nothing else. An operation without a proof is refused wherever it meets rows. The proofs
do not trust `ops.infer`: they look at the shapes that are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from foreknown.errors import GraphError
from foreknown.graph import ops
from foreknown.graph.ir import DTYPES, Graph, Literal, Node, Symbol, T
from foreknown.graph.text import print_node


def verify(graph: Graph) -> Graph:
    """The graph itself, proven to obey every rule.

    Raises:
        GraphError: a rule is broken; `where` has the line of the graph's text.
    """
    for node in graph.nodes:
        for rule in NODE_RULES:
            if not rule.holds(node):
                raise _broken(graph, node, rule.says)
    for graph_rule in GRAPH_RULES:
        culprit = graph_rule.first_to_break(graph)
        if culprit is not None:
            raise _broken(graph, culprit, graph_rule.says)
    return graph


def rows_are_independent(node: Node) -> bool:
    """Whether row i of the result provably depends on row i of the arguments alone.

    True as well for an operation without rows, and for the three of the past, whose reading of
    other rows is the law's exception.
    """
    if not any(a.rows for a in node.args):
        return node.rows is None or node.op in _MAKES_ROWS
    proof = ROW_PROOFS.get(node.op)
    return proof is not None and proof(node)


def _broken(graph: Graph, node: Node, says: str) -> GraphError:
    return GraphError(
        f"{node.op} breaks a rule of the graph: {says}",
        where=f"graph {graph.name}: {print_node(graph, node)}",
        remedy="if a pass or the capture made this node, that is where to look; "
        "a model that needs it is refused",
    )


@dataclass(frozen=True)
class Rule:
    """What must hold of a node."""

    says: str
    holds: Callable[[Node], bool]


@dataclass(frozen=True)
class GraphRule:
    """What must hold of a whole graph; finds the first node that breaks it."""

    says: str
    first_to_break: Callable[[Graph], Node | None]


# Rules of a node

ATTRIBUTES: Mapping[str, frozenset[str]] = {
    **{op: frozenset() for op in ops.UNARY | ops.BINARY},
    **{op: frozenset() for op in ("tokens", "positions", "rows", "where", "take", "scan")},
    **{op: frozenset() for op in ("linear", "matmul", "experts", "select_rows")},
    **{op: frozenset({"axes"}) for op in ops.REDUCTION | {"permute"}},
    **{op: frozenset({"axis"}) for op in ("concat", "argmax", "cumsum", "gather", "scatter")},
    **{op: frozenset({"k", "largest"}) for op in ("topk_values", "topk_indices")},
    **{op: frozenset({"shape"}) for op in ("reshape", "broadcast")},
    "weight": frozenset({"name", "shape", "stored"}),
    "const": frozenset({"value"}),
    "cast": frozenset({"dtype"}),
    "slice": frozenset({"axis", "start", "stop", "step"}),
    "attend": frozenset({"scale", "window", "chunk", "softcap", "sinks", "bias"}),
    "shift": frozenset({"n"}),
    "quantise": frozenset({"group"}),
    "lowbit": frozenset({"bits", "group"}),
}
"""The attributes of each operation: all of them, and no others."""


def _derives(node: Node) -> bool:
    try:
        return ops.infer(node.op, node.args, dict(node.attrs)) == (node.dtype, node.shape)
    except GraphError:
        return False


def _whole(value: object, least: int) -> bool:
    return type(value) is int and value >= least


def _axes_are_axes(node: Node) -> bool:
    rank = len(node.args[0].shape) if node.args else 0
    axes = node.attrs.get("axes", ())
    if not isinstance(axes, tuple) or not all(_whole(a, 0) and a < rank for a in axes):
        return False
    axis = node.attrs.get("axis")
    return len(set(axes)) == len(axes) and (
        axis is None or (type(axis) is int and 0 <= axis < rank)
    )


def _attend_is_sane(node: Node) -> bool:
    if node.op != "attend":
        return True
    scale, softcap = node.attrs["scale"], node.attrs["softcap"]
    return (
        isinstance(scale, float)
        and math.isfinite(scale)
        and (softcap is None or (isinstance(softcap, float) and 0 < softcap < math.inf))
        and all(node.attrs[w] is None or _whole(node.attrs[w], 1) for w in ("window", "chunk"))
        and all(type(node.attrs[e]) is bool for e in ("sinks", "bias"))
        and all(x.dtype == "f32" for x in node.args)
    )


def _past_is_of_tokens(node: Node) -> bool:
    if node.op not in ops.PAST:
        return True
    of_tokens = {"attend": 3, "shift": 1, "scan": 0}[node.op]
    return (
        node.rows is T
        and all(x.rows is T for x in node.args[:of_tokens])
        and all(x.rows is not None for x in node.args[1:2])
        and all(x.rows is None for x in node.args[3:] if node.op == "attend")
    )


NODE_RULES: tuple[Rule, ...] = (
    Rule("the operation exists", lambda n: n.op in ATTRIBUTES),
    Rule("its attributes are those of the operation", lambda n: set(n.attrs) == ATTRIBUTES[n.op]),
    Rule("its dtype is f32, i32 or bool", lambda n: n.dtype in DTYPES),
    Rule("rows come first and nowhere else", lambda n: not _has_symbol(n.shape[1:])),
    Rule("dimensions are positive", lambda n: all(_whole(d, 1) for d in n.row_shape)),
    Rule("axes are axes of the argument, each named once", _axes_are_axes),
    Rule("dtype and shape follow from the arguments", _derives),
    Rule("rows of tokens and selected rows do not meet", lambda n: len(_row_kinds(n)) <= 1),
    Rule("the past is of tokens, its parameters constant", _past_is_of_tokens),
    Rule("scale, softcap, window and chunk make sense", _attend_is_sane),
    Rule(
        "no row reads another row but through attend, shift and scan",
        rows_are_independent,
    ),
)


def _has_symbol(dims: tuple[object, ...]) -> bool:
    return any(isinstance(d, Symbol) for d in dims)


def _row_kinds(node: Node) -> set[Symbol]:
    nodes = node.args[1:] if node.op == "select_rows" else node.args  # the one door from T to R
    return {x.rows for x in (node, *nodes) if x.rows is not None}


# Proofs that rows are independent. Each may assume that some argument has rows.


def _parallel(node: Node) -> bool:
    """Row axes lie on each other: rows at axis 0 of one rank, constants not reaching that far."""
    return node.rows is not None and all(_aligned(x, node) for x in node.args)


def _aligned(x: Node, result: Node) -> bool:
    rank = len(result.shape)
    if x.rows is not None:
        return len(x.shape) == rank
    return len(x.shape) < rank or (len(x.shape) == rank and x.shape[0] == 1)


def _keeps_rows(node: Node) -> bool:
    return node.args[0].rows is node.rows is not None


def _axis_inside_a_row(node: Node) -> bool:
    """Every argument has the same rows, and the operation works along another axis."""
    axis = node.attrs["axis"]
    return _whole(axis, 1) and all(x.rows is node.rows is not None for x in node.args)


def _gather(node: Node) -> bool:
    x, index = node.args
    if x.rows is None:  # out[t, ...] = x[index[t, ...], ...]: each row looks up in a constant
        return node.attrs["axis"] == 0 and index.rows is node.rows is not None
    return _axis_inside_a_row(node)


def _axes_inside_a_row(node: Node) -> bool:
    axes = node.attrs["axes"]
    return _keeps_rows(node) and isinstance(axes, tuple) and 0 not in axes


def _linear(node: Node) -> bool:
    x, w = node.args
    groups = len(w.shape) - 2
    return w.rows is None and _keeps_rows(node) and len(x.shape) - 1 > groups


def _matmul(node: Node) -> bool:
    """Rows are the first batch axis of each side, so each row multiplies its own matrices."""
    rank = len(node.shape)
    return rank >= 3 and _parallel(node)


def _experts(node: Node) -> bool:
    x, w, index = node.args
    return w.rows is None and x.rows is index.rows is node.rows is not None


def _take(node: Node) -> bool:
    table, index = node.args
    return table.rows is None and index.rows is node.rows is not None


def _select_rows(node: Node) -> bool:
    x, rows = node.args
    return x.rows is T and rows.op == "rows" and node.rows is rows.rows


def _last_axis_inside_a_row(node: Node) -> bool:
    return _keeps_rows(node) and len(node.shape) >= 2


def _permute(node: Node) -> bool:
    axes = node.attrs["axes"]
    return _keeps_rows(node) and isinstance(axes, tuple) and axes[0] == 0


def _reads_the_past(node: Node) -> bool:
    """The exceptions: what they read of other rows is only ever earlier, of one sequence."""
    aligned = node.args[:2] if node.op == "scan" else ()
    return node.rows is T and all(_aligned(x, node) for x in aligned)


_MAKES_ROWS = frozenset({"tokens", "positions", "rows", "broadcast"})
"""Operations whose result has rows though no argument has: each row is alike, or is given."""

ROW_PROOFS: Mapping[str, Callable[[Node], bool]] = {
    **dict.fromkeys(ops.ELEMENTWISE, _parallel),
    **dict.fromkeys(ops.REDUCTION, _axes_inside_a_row),
    **dict.fromkeys(("slice", "concat", "argmax", "cumsum", "scatter"), _axis_inside_a_row),
    **dict.fromkeys(("topk_values", "topk_indices", "quantise"), _last_axis_inside_a_row),
    **dict.fromkeys(ops.PAST, _reads_the_past),
    "reshape": _keeps_rows,  # rows first on both sides: row-major order keeps rows whole
    "broadcast": _parallel,
    "permute": _permute,
    "lowbit": lambda node: False,  # of constants alone
    "gather": _gather,
    "take": _take,
    "linear": _linear,
    "matmul": _matmul,
    "experts": _experts,
    "select_rows": _select_rows,
}


# Rules of a graph


def _weights_agree(graph: Graph) -> Node | None:
    found: dict[object, Node] = {}
    for node in graph.nodes:
        if node.op == "weight" and found.setdefault(node.attrs["name"], node) is not node:
            return node
    return None


def _rows_only_choose(graph: Graph) -> Node | None:
    """A row's place in the batch is nothing a model may know: it would tell who else is there."""
    for node in graph.nodes:
        others = node.args[:1] if node.op == "select_rows" else node.args
        if any(a.op == "rows" for a in others):
            return node
    return next((n for n in graph.outputs.values() if n.op == "rows"), None)


def _literals_are_whole(graph: Graph) -> Node | None:
    for node in graph.nodes:
        value = node.attrs.get("value")
        if isinstance(value, Literal) and value.digest != Literal(value.array).digest:
            return node
    return None


GRAPH_RULES: tuple[GraphRule, ...] = (
    GraphRule("one weight has one shape and one stored dtype", _weights_agree),
    GraphRule("rows are used by select_rows alone", _rows_only_choose),
    GraphRule("an array is what its digest says", _literals_are_whole),
)
