"""Turns a traced graph of ATen operations into the IR's nodes, proving that rows stay apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node as FxNode

from foreknown.capture.lower import (  # noqa: F401  (each registers its rules)
    complexes,
    elementwise,
    lookups,
    masks,
    nonlinearities,
    past,
    products,
    reductions,
    scores,
    views,
)
from foreknown.capture.lower.known import Known
from foreknown.capture.lower.layout import Value, constant
from foreknown.capture.lower.lowering import Lowering
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Node, T, make

Weight = Callable[[str, torch.Tensor], Node | None]


def lower(program: ExportedProgram, weight: Weight, context: int) -> Value:
    """The logits of a traced forward pass.

    Args:
        program: of one input, token ids [1, T].
        weight: gives the `weight` node of a parameter or persistent buffer by its name in the
            traced module; None where its value is to be taken as a constant.
        context: positions that tables are made for.

    Raises:
        UnsupportedOp: an operation has no meaning in the graph; names it and its source line.
    """
    given, constants, tokens = _inputs(program, weight)
    nodes = [n for n in _live(program) if n.op == "call_function"]
    known = Known(nodes, constants, tokens)
    low = Lowering(known, given, context)
    low.values[tokens] = Value(make("tokens"), ((), (T,)))
    for node in nodes:
        if node not in known:
            low.values[node] = low.lower(node)
    (result,) = _outputs(program)
    value = low.value(result)
    if not isinstance(value, Value) or value.node.rows is not T:
        raise UnsupportedOp("logits that do not depend on the tokens")
    return value


def _inputs(
    program: ExportedProgram, weight: Weight
) -> tuple[dict[FxNode, Value], dict[FxNode, Any], FxNode]:
    placeholders = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    given: dict[FxNode, Value] = {}
    constants: dict[FxNode, Any] = {}
    tokens: FxNode | None = None
    for spec in program.graph_signature.input_specs:
        node = placeholders[spec.arg.name]
        if spec.kind is InputKind.USER_INPUT:
            tokens = node
            continue
        assert spec.target is not None
        tensor = _tensor(program, spec.target)
        weight_node = None
        if spec.kind is InputKind.PARAMETER or (spec.kind is InputKind.BUFFER and spec.persistent):
            weight_node = weight(spec.target, tensor) if node.users else None
        if weight_node is not None:
            given[node] = constant(weight_node)
        elif spec.kind is not InputKind.PARAMETER:
            constants[node] = tensor
    assert tokens is not None
    return given, constants, tokens


def _tensor(program: ExportedProgram, name: str) -> Any:
    for place in (program.state_dict, program.constants):
        if name in place:
            return place[name]
    raise UnsupportedOp(f"the input {name}")


def _live(program: ExportedProgram) -> list[FxNode]:
    """Nodes the result depends on, in order."""
    seen: set[FxNode] = set()
    stack = list(_outputs(program))
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(node.all_input_nodes)
    return [n for n in program.graph.nodes if n in seen]


def _outputs(program: ExportedProgram) -> Sequence[FxNode]:
    output = next(n for n in program.graph.nodes if n.op == "output")
    names = [
        s.arg.name for s in program.graph_signature.output_specs if s.kind.name == "USER_OUTPUT"
    ]
    return [n for n in output.all_input_nodes if n.name in names]
