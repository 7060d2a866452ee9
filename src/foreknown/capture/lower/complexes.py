"""Complex numbers, as rotary code uses them: a pair of real values that move together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foreknown.capture.lower.elementwise import as_value, elementwise
from foreknown.capture.lower.layout import Value, drop_axis, insert_axis
from foreknown.capture.lower.lowering import Lowering
from foreknown.capture.lower.rules import Rule, rule
from foreknown.capture.lower.views import cut, join
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import make


@dataclass(frozen=True)
class Complex:
    """A complex tensor."""

    real: Value
    imaginary: Value

    @property
    def rank(self) -> int:
        return self.real.rank


def on_parts(function: Rule, low: Lowering, arguments: dict[str, Any]) -> Complex:
    """A rule that only moves elements, on both parts."""
    parts = []
    for name in ("real", "imaginary"):
        chosen = {
            k: getattr(v, name) if isinstance(v, Complex) else v for k, v in arguments.items()
        }
        parts.append(function(low, **chosen))
    return Complex(*parts)


@rule("aten.view_as_complex", "aten.view_as_complex_copy")
def _view_as_complex(low: Lowering, x: Value) -> Complex:
    last = x.rank - 1
    return Complex(*(drop_axis(cut(x, last, i, i + 1), last) for i in (0, 1)))


@rule("aten.view_as_real", "aten.view_as_real_copy")
def _view_as_real(low: Lowering, x: Complex) -> Value:
    rank = x.rank
    return join([insert_axis(x.real, rank), insert_axis(x.imaginary, rank)], rank)


@rule("aten.polar")
def _polar(low: Lowering, abs: Value, angle: Value) -> Complex:
    cosine, sine = (
        Value(make("cos", angle.node), angle.axes),
        Value(make("sin", angle.node), angle.axes),
    )
    return Complex(elementwise("mul", cosine, abs), elementwise("mul", sine, abs))


@rule("aten.complex")
def _complex(low: Lowering, real: Value, imag: Value) -> Complex:
    return Complex(real, imag)


@rule("aten.real")
def _real(low: Lowering, x: Complex) -> Value:
    return x.real


@rule("aten.imag")
def _imag(low: Lowering, x: Complex) -> Value:
    return x.imaginary


def multiply(a: Any, b: Any) -> Complex:
    """A product of which at least one factor is complex."""
    if not isinstance(a, Complex):
        a, b = b, a
    if not isinstance(b, Complex):
        factor = as_value(b, "f32")
        return Complex(elementwise("mul", a.real, factor), elementwise("mul", a.imaginary, factor))
    real = elementwise(
        "sub", elementwise("mul", a.real, b.real), elementwise("mul", a.imaginary, b.imaginary)
    )
    imaginary = elementwise(
        "add", elementwise("mul", a.real, b.imaginary), elementwise("mul", a.imaginary, b.real)
    )
    return Complex(real, imaginary)


_MOVES = frozenset(
    "view reshape _unsafe_view unsqueeze squeeze expand slice select transpose permute flatten "
    "unflatten contiguous clone detach alias to _to_copy index_select cat split chunk "
    "lift_fresh_copy".split()
)


def apply(low: Lowering, name: str, function: Rule, arguments: dict[str, Any]) -> Any:
    """An operation with a complex argument.

    Raises:
        UnsupportedOp: it is neither a product nor a view.
    """
    if name == "mul":
        return multiply(arguments["x"], arguments["other"])
    if name in {"view_as_real", "view_as_real_copy", "real", "imag"}:
        return function(low, **arguments)
    if name in {"conj", "_conj"}:
        x = arguments["x"]
        return Complex(x.real, Value(make("neg", x.imaginary.node), x.imaginary.axes))
    if name in {"resolve_conj", "conj_physical"}:
        return arguments["x"]
    if name in _MOVES:
        return on_parts(function, low, arguments)
    raise UnsupportedOp("an operation on complex numbers")
