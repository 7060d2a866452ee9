"""The list of passes, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foreknown.graph.ir import Graph
from foreknown.graph.verify import verify
from foreknown.passes import drop_no_ops, fold_constants, merge_views
from foreknown.passes.contract_with_constants import contract_with_constants
from foreknown.passes.join_linears import join_linears
from foreknown.passes.lower_bits import Importance, StateFormat, lower_state, lower_weights
from foreknown.passes.order_operands import order_operands
from foreknown.passes.rewrite import rewrite
from foreknown.passes.select_rows_early import select_rows_early
from foreknown.passes.tabulate_positions import tabulate_positions

Pass = Callable[[Graph], Graph]


def simplify(graph: Graph) -> Graph:
    """Drops what does nothing, merges views and folds constants, each as the others allow."""
    return rewrite(graph, (*drop_no_ops.RULES, *merge_views.RULES, *fold_constants.RULES))


@dataclass(frozen=True)
class Formats:
    """In which formats a compiled model holds what it reads.

    Attributes:
        weights: "as stored", "f32", "bf16", "int8" or "int4"; matrices that few bits do not fit
            stay as stored.
        state: of keys and values that attention keeps.
        group: of low-bit weights: how many elements of k share a scale.
    """

    weights: str = "as stored"
    state: StateFormat = "f32"
    group: int = 32

    @property
    def bits(self) -> int | None:
        """Bits of low-bit weights."""
        return {"int8": 8, "int4": 4}.get(self.weights)


AS_STORED = Formats()


def passes(
    context: int, formats: Formats = AS_STORED, importance: Importance | None = None
) -> tuple[tuple[str, Pass], ...]:
    """Every pass with its name, in the order they run."""
    bits = formats.bits
    return (
        ("simplify", simplify),
        ("contract_with_constants", contract_with_constants),
        ("order_operands", order_operands),
        ("tabulate_positions", lambda graph: tabulate_positions(graph, context)),
        ("select_rows_early", select_rows_early),
        ("join_linears", join_linears),
        ("simplify", simplify),
        (
            "lower_weights",
            lambda g: lower_weights(g, bits, formats.group, importance) if bits else g,
        ),
        ("lower_state", lambda graph: lower_state(graph, formats.state)),
    )


def optimise(
    graph: Graph,
    *,
    context: int,
    formats: Formats = AS_STORED,
    importance: Importance | None = None,
    after: Callable[[str, Graph], None] = lambda name, graph: None,
) -> Graph:
    """The graph after every pass.

    Args:
        context: positions that the compiled model will have.
        formats: of its weights and state.
        importance: of the columns of matrices that are held in few bits, where it is known.
        after: called with each pass's name and result; dumps and tests look in here.
    """
    for name, run in passes(context, formats, importance):
        graph = run(graph)
        after(name, graph)
    return graph


def lower(
    graph: Graph, context: int, formats: Formats = AS_STORED, importance: Importance | None = None
) -> Graph:
    """Every pass, and the proof that rows are independent before and after.

    Raises:
        GraphError: a row reads another row, or a rule of the graph is broken.
    """
    lowered = optimise(verify(graph), context=context, formats=formats, importance=importance)
    return verify(lowered)
