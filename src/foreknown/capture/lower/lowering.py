"""Walks a traced graph and builds the graph's nodes; refuses by name what it has no rule for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch._ops import OpOverload
from torch.fx import Node as FxNode
from torch.utils._pytree import tree_map_only

from foreknown.capture.lower.known import Known
from foreknown.capture.lower.layout import Size, Tokens, Value, constant
from foreknown.capture.lower.rules import find_rule
from foreknown.errors import ForeknownError, GraphError, UnsupportedOp
from foreknown.graph.ir import T, const, make

_DTYPES = {
    torch.float32: "f32",
    torch.float16: "f32",
    torch.bfloat16: "f32",
    torch.float64: "f32",
    torch.int64: "i32",
    torch.int32: "i32",
    torch.int16: "i32",
    torch.int8: "i32",
    torch.uint8: "i32",
    torch.bool: "bool",
    torch.complex64: "f32",  # of each part
}


_UNFORESEEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class Lowering:
    """The state of one walk: what every traced node has become."""

    def __init__(self, known: Known, given: Mapping[FxNode, Value], context: int) -> None:
        self.known, self.context = known, context
        self.values: dict[FxNode, Any] = dict(given)
        self.node: FxNode | None = None  # the one being lowered

    # What a traced node stands for

    def lower(self, node: FxNode) -> Any:
        """Lower one node whose arguments are lowered or known.

        Raises:
            UnsupportedOp: there is no meaning for it; names the operation and the source line.
        """
        before, self.node = self.node, node
        try:
            function = find_rule(node.target)
            if function is None:
                raise UnsupportedOp(f"{node.target} has no meaning in the graph")
            arguments = self._arguments(node)
            if any(isinstance(a, complexes.Complex) for a in arguments.values()):
                name = str(node.target).split(".")[1]
                return complexes.apply(self, name, function, arguments)
            return function(self, **arguments)
        except (UnsupportedOp, GraphError) as error:
            raise self.refusal(error, node) from error
        except _UNFORESEEN as error:
            pairs = any(_token_axes(n.meta.get("val")) > 1 for n in (node, *node.all_input_nodes))
            what = "each token with every other token, and not as attention"
            refusal = UnsupportedOp(what) if pairs else _unforeseen(error)
            raise self.refusal(refusal, node) from error
        finally:
            self.node = before

    def refusal(self, error: ForeknownError, node: FxNode) -> UnsupportedOp:
        """The error with the operation and the source line it came from, unless it has them."""
        if error.where and isinstance(error, UnsupportedOp):
            return error
        what = error.what if str(node.target) in error.what else f"{node.target}: {error.what}"
        return UnsupportedOp(
            what,
            where=source_line(node),
            remedy="the graph has no operation for this; run the model with other software",
        )

    def _arguments(self, node: FxNode) -> dict[str, Any]:
        if not isinstance(node.target, OpOverload):  # Python's own, as `getitem`
            names = ("x", "other")
            return {n: self.resolve(a) for n, a in zip(names, node.args, strict=False)}
        schema = node.target._schema
        named: dict[str, Any] = {}
        for i, argument in enumerate(schema.arguments):
            if i < len(node.args):
                value = node.args[i]
            elif argument.name in node.kwargs:
                value = node.kwargs[argument.name]
            elif argument.has_default_value():
                value = argument.default_value
            else:
                continue
            named["x" if argument.name == "self" else argument.name] = self.resolve(value)
        return named

    def resolve(self, argument: Any) -> Any:
        return tree_map_only(FxNode, self.value, argument)

    def value(self, node: FxNode) -> Any:
        """What a node has become: a value, a size, a tuple, or the node itself for a known pair."""
        if node in self.values:
            return self.values[node]
        example = node.meta.get("val")
        if isinstance(example, (torch.SymInt, int)):
            return self.size(example)
        if isinstance(example, (torch.SymFloat, torch.SymBool, float, bool)):
            raise UnsupportedOp("the number of tokens as a value to compute with")
        if node in self.known:
            if isinstance(example, torch.Tensor) and _token_axes(example) > 1:
                return node
            self.values[node] = self._demand(node)
            return self.values[node]
        raise UnsupportedOp("a value that was not lowered")

    def _demand(self, node: FxNode) -> Any:
        """A known node as a value: an expression of positions, or a table over them."""
        example = node.meta.get("val")
        if not isinstance(example, torch.Tensor):
            return self.lower(node)
        if _token_axes(example) == 0:
            return self._without_tokens(node)
        try:
            return self.lower(node)
        except UnsupportedOp:
            return self._table(node)

    def _without_tokens(self, node: FxNode) -> Value:
        few, many = self.known.array(node, 3), self.known.array(node, self.context)
        if not same(few, many):
            raise UnsupportedOp(f"{node.target}, whose value depends on the number of tokens")
        return constant(const(many))

    def _table(self, node: FxNode) -> Value:
        """Values of positions: a table up to the context or, if in even steps, a formula."""
        axes = [self.size(d) for d in node.meta["val"].shape]
        at = next(i for i, d in enumerate(axes) if isinstance(d, Tokens))
        if axes[at] != Tokens(1):
            raise UnsupportedOp(f"{node.target} over {axes[at]} elements")
        table = np.moveaxis(self.known.array(node, self.context), at, 0)
        for n in {3, max(2, self.context // 2)}:
            shorter = np.moveaxis(self.known.array(node, n), at, 0)
            if not same(shorter, table[:n]):
                raise UnsupportedOp(f"{node.target}, whose rows depend on the number of tokens")
        rest: list[tuple[Any, ...]] = [(d,) if d != 1 else () for d in axes]
        rest[at] = (T,)
        table = table.reshape(table.shape[0], *(d for d in table.shape[1:] if d != 1))
        positions = make("positions")
        if table.ndim == 1 and table.dtype == np.int32 and len(table) > 2:
            step = int(table[1] - table[0])
            if np.array_equal(table, table[0] + step * np.arange(len(table))):
                scaled = positions if step == 1 else make("mul", positions, const(step))
                start = int(table[0])
                scaled = make("add", scaled, const(start)) if start else scaled
                return Value(scaled, tuple(rest))
        return Value(make("take", const(table), positions), tuple(rest))

    def traced(self, value: Any) -> FxNode | None:
        """The argument of the node being lowered that became this value."""
        assert self.node is not None
        return next((n for n in self.node.all_input_nodes if self.values.get(n) is value), None)

    # Sizes and dtypes

    def size(self, dim: Any) -> Size:
        """A size of a traced tensor: a number, or linear in the number of tokens."""
        if isinstance(dim, int):
            return dim
        return size_of(dim)

    def result_sizes(self) -> tuple[Size, ...]:
        """The sizes of the result of the node being lowered."""
        assert self.node is not None
        return tuple(map(self.size, self.node.meta["val"].shape))

    def result_dtype(self) -> str:
        assert self.node is not None
        return dtype_name(self.node.meta["val"].dtype)


def _unforeseen(error: Exception) -> UnsupportedOp:
    """A use of an operation that its rule was not written for."""
    return UnsupportedOp(f"a use that is not foreseen: {type(error).__name__} {error}")


def size_of(dim: torch.SymInt) -> Size:
    expression = dim.node.expr.expand()
    symbols = expression.free_symbols
    if not symbols:
        return int(expression)
    if len(symbols) == 1:
        (symbol,) = symbols
        times, plus = expression.coeff(symbol, 1), expression.coeff(symbol, 0)
        if (times * symbol + plus - expression).expand() == 0 and times.is_integer:
            return Tokens(int(times), int(plus))
    raise UnsupportedOp(f"a size of {expression} elements")


def dtype_name(dtype: torch.dtype) -> str:
    name = _DTYPES.get(dtype)
    if name is None:
        raise UnsupportedOp(f"values of {dtype}")
    return name


def _token_axes(example: object) -> int:
    if not isinstance(example, torch.Tensor):
        return 0
    return sum(not isinstance(d, int) for d in example.shape)


def same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Equal, but for the last bits of transcendental functions."""
    if a.shape != b.shape:
        return False
    if a.dtype == np.float32:
        return np.allclose(a, b, rtol=1e-6, atol=1e-7, equal_nan=True)
    return np.array_equal(a, b)


_FRAME = re.compile(r'File "([^"]+)", line (\d+), in \S+\n\s*(.*)')


def source_line(node: FxNode) -> str:
    """The line of the model's code that a traced node came from."""
    frames: list[tuple[str, str, str]] = _FRAME.findall(node.meta.get("stack_trace") or "")
    if not frames:
        return "the model's own code"
    own = [f for f in frames if "modeling_" in f[0]] or frames
    file, line, code = own[-1]
    return f"{file.rsplit('site-packages/', 1)[-1]}:{line}: {code}"


from foreknown.capture.lower import complexes  # noqa: E402
