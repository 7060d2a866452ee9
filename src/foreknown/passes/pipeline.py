"""The list of passes, in order."""

from __future__ import annotations

from collections.abc import Callable

from foreknown.graph.ir import Graph
from foreknown.passes import drop_no_ops, fold_constants, merge_views
from foreknown.passes.contract_with_constants import contract_with_constants
from foreknown.passes.join_linears import join_linears
from foreknown.passes.order_operands import order_operands
from foreknown.passes.rewrite import rewrite
from foreknown.passes.select_rows_early import select_rows_early
from foreknown.passes.tabulate_positions import tabulate_positions

Pass = Callable[[Graph], Graph]


def simplify(graph: Graph) -> Graph:
    """Drops what does nothing, merges views and folds constants, each as the others allow."""
    return rewrite(graph, (*drop_no_ops.RULES, *merge_views.RULES, *fold_constants.RULES))


def passes(context: int) -> tuple[tuple[str, Pass], ...]:
    """Every pass with its name, in the order they run."""
    return (
        ("simplify", simplify),
        ("contract_with_constants", contract_with_constants),
        ("order_operands", order_operands),
        ("tabulate_positions", lambda graph: tabulate_positions(graph, context)),
        ("select_rows_early", select_rows_early),
        ("join_linears", join_linears),
        ("simplify", simplify),
    )


def optimise(
    graph: Graph, *, context: int, after: Callable[[str, Graph], None] = lambda name, graph: None
) -> Graph:
    """The graph after every pass.

    Args:
        context: positions that the compiled model will have.
        after: called with each pass's name and result; dumps and tests look in here.
    """
    for name, run in passes(context):
        graph = run(graph)
        after(name, graph)
    return graph
