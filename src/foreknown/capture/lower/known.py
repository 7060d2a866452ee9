"""The part of a traced graph that depends on nothing but the number of tokens, by evaluation.

Masks, rotary angles, position slopes: whatever code made them, their values at any number of
tokens can be had by running that code. What a model's author wrote is thereby recognised by what
it computes, never by how it looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node as FxNode
from torch.utils._pytree import tree_leaves, tree_map_only

from foreknown.capture.attention import IMPLEMENTATION
from foreknown.errors import UnsupportedOp

MARKER = f"{IMPLEMENTATION}.query_positions.default"


class Known:
    """Evaluates the nodes of a graph that depend on constants and the number of tokens."""

    def __init__(
        self, nodes: Iterable[FxNode], constants: Mapping[FxNode, Any], tokens: FxNode
    ) -> None:
        self.constants = constants
        self.tokens = tokens
        self.nodes: set[FxNode] = set(constants)
        self._values: dict[tuple[int, tuple[int, ...] | None], dict[FxNode, Any]] = {}
        for node in nodes:
            if node.op == "call_function" and (
                _shape_only(node)
                or _size_of(node, tokens)
                or all(a in self.nodes for a in node.all_input_nodes)
            ):
                self.nodes.add(node)

    def __contains__(self, node: object) -> bool:
        return node in self.nodes

    def slice_of(self, node: FxNode) -> list[FxNode]:
        """The nodes a node depends on, arguments first, itself last."""
        order: list[FxNode] = []
        seen: set[FxNode] = set()
        stack = [(node, False)]
        while stack:
            n, ready = stack.pop()
            if ready:
                order.append(n)
            elif n not in seen and n is not self.tokens:
                seen.add(n)
                stack.append((n, True))
                stack.extend((a, False) for a in n.all_input_nodes if not _shape_only(n))
        return order

    def marked(self, node: FxNode) -> bool:
        """Whether its query positions can be sampled."""
        return any(str(n.target) == MARKER for n in self.slice_of(node))

    def evaluate(self, node: FxNode, tokens: int, rows: tuple[int, ...] | None = None) -> Any:
        """Its value for sequences of `tokens` tokens; of the query positions `rows` only, if given.

        Raises:
            UnsupportedOp: the operation cannot be run.
        """
        values = self._values.setdefault((tokens, rows), {})
        for n in self.slice_of(node):
            if n not in values:
                values[n] = self._run(n, values, tokens, rows)
        return values[node]

    def _run(
        self, node: FxNode, values: dict[FxNode, Any], tokens: int, rows: tuple[int, ...] | None
    ) -> Any:
        if node in self.constants:
            return self.constants[node]
        if _size_of(node, self.tokens):
            return 1 if node.args[1] == 0 else tokens
        if rows is not None and str(node.target) == MARKER:
            return values[node.all_input_nodes[0]][list(rows)]
        if _shape_only(node):
            return _filled(node, tokens)
        args = tree_map_only(FxNode, lambda n: values[n], node.args)
        kwargs = tree_map_only(FxNode, lambda n: values[n], node.kwargs)
        assert callable(node.target)
        try:
            with torch.no_grad():
                return node.target(*args, **kwargs)
        except Exception as error:
            raise UnsupportedOp(
                f"{node.target}, which fails at {tokens} tokens: {str(error)[:150]}"
            ) from error

    def array(self, node: FxNode, tokens: int, rows: tuple[int, ...] | None = None) -> NDArray[Any]:
        """As `evaluate`, for a tensor: f32, i32 or bool."""
        value = self.evaluate(node, tokens, rows)
        return to_numpy(value if isinstance(value, torch.Tensor) else torch.tensor(value))

    def integers(self, node: FxNode) -> set[int]:
        """Whole numbers written in the code it depends on: candidates for where it changes."""
        found: set[int] = set()
        for n in self.slice_of(node):
            if n in self.constants:
                continue
            for leaf in tree_leaves((n.args, dict(n.kwargs))):
                number = isinstance(leaf, int | float) and not isinstance(leaf, bool)
                if number and abs(leaf) < 2**31:
                    found.add(int(abs(leaf)))
        return found


def to_numpy(value: torch.Tensor) -> NDArray[Any]:
    """f32, i32 or bool.

    Raises:
        UnsupportedOp: integers that i32 cannot hold, or complex numbers.
    """
    value = value.detach().cpu()
    if value.is_complex():
        raise UnsupportedOp("complex numbers")
    if value.is_floating_point():
        return value.to(torch.float32).numpy().copy()
    if value.dtype == torch.bool:
        return value.numpy().copy()
    array = value.to(torch.int64).numpy()
    if array.size and (array.max() > 2**31 - 1 or array.min() < -(2**31)):
        raise UnsupportedOp("integers of more than 32 bits")
    return array.astype(np.int32)


def _size_of(node: FxNode, tokens: FxNode) -> bool:
    """Whether a node is a size of the token ids."""
    return (
        node.op == "call_function"
        and str(node.target).startswith("aten.sym_size")
        and node.args[0] is tokens
    )


_LIKE = {
    "zeros_like": 0,
    "ones_like": 1,
    "new_zeros": 0,
    "new_ones": 1,
    "full_like": 2,
    "new_full": 3,
}


def _shape_only(node: FxNode) -> bool:
    """Whether a node takes of its argument but the shape."""
    packet = getattr(node.target, "overloadpacket", None)
    name = getattr(packet, "__name__", "")
    if name not in _LIKE or not all(
        isinstance(d, int) or _linear(d) for d in node.meta["val"].shape
    ):
        return False
    return _LIKE[name] < 2 or not isinstance(node.args[-1], FxNode)


def _linear(dim: torch.SymInt) -> bool:
    return len(dim.node.expr.free_symbols) == 1


def _filled(node: FxNode, tokens: int) -> torch.Tensor:
    example = node.meta["val"]
    shape = [
        d
        if isinstance(d, int)
        else int(d.node.expr.subs(dict.fromkeys(d.node.expr.free_symbols, tokens)))
        for d in example.shape
    ]
    name = node.target.overloadpacket.__name__  # type: ignore[union-attr]
    fill = _LIKE[name] if _LIKE[name] < 2 else node.args[_LIKE[name] - 1]
    assert isinstance(fill, int | float)
    return torch.full(shape, fill, dtype=example.dtype)
