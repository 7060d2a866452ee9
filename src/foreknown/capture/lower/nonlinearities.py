"""Activation functions, written out in the IR's own functions."""

from __future__ import annotations

import math

from foreknown.capture.lower.elementwise import apply, elementwise, number
from foreknown.capture.lower.layout import Value
from foreknown.capture.lower.lowering import Lowering
from foreknown.capture.lower.rules import rule


@rule("aten.relu", "aten.relu_")
def _relu(low: Lowering, x: Value) -> Value:
    return number("max", x, 0.0)


@rule("aten.relu6")
def _relu6(low: Lowering, x: Value) -> Value:
    return number("min", number("max", x, 0.0), 6.0)


@rule("aten.leaky_relu")
def _leaky_relu(low: Lowering, x: Value, negative_slope: float = 0.01) -> Value:
    positive = number("gt", x, 0.0)
    return elementwise("where", positive, x, number("mul", x, negative_slope))


@rule("aten.elu")
def _elu(
    low: Lowering, x: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1
) -> Value:
    positive = number("gt", x, 0.0)
    least = number("min", x if input_scale == 1 else number("mul", x, input_scale), 0.0)
    negative = number("mul", apply("expm1", least), alpha * scale)
    return elementwise("where", positive, number("mul", x, scale), negative)


@rule("aten.silu")
def _silu(low: Lowering, x: Value) -> Value:
    return elementwise("mul", x, apply("sigmoid", x))


@rule("aten.gelu")
def _gelu(low: Lowering, x: Value, approximate: str = "none") -> Value:
    if approximate == "tanh":
        cube = elementwise("mul", elementwise("mul", x, x), x)
        inner = elementwise("add", x, number("mul", cube, 0.044715))
        bend = apply("tanh", number("mul", inner, math.sqrt(2 / math.pi)))
    else:
        bend = apply("erf", number("mul", x, math.sqrt(0.5)))
    return elementwise("mul", number("mul", x, 0.5), number("add", bend, 1.0))


@rule("aten.softplus")
def _softplus(low: Lowering, x: Value, beta: float = 1, threshold: float = 20) -> Value:
    # log(1 + e^z) = max(z, 0) + log1p(e^-|z|), which neither overflows nor loses digits
    z = x if beta == 1 else number("mul", x, beta)
    tail = apply("log1p", apply("exp", apply("neg", apply("abs", z))))
    smooth = elementwise("add", number("max", z, 0.0), tail)
    if beta != 1:
        smooth = number("div", smooth, beta)
    return elementwise("where", number("gt", z, threshold), x, smooth)


@rule("aten.log_sigmoid", "aten.log_sigmoid_forward")
def _log_sigmoid(low: Lowering, x: Value) -> Value:
    tail = apply("log1p", apply("exp", apply("neg", apply("abs", x))))
    return elementwise("sub", number("min", x, 0.0), tail)


@rule("aten.mish")
def _mish(low: Lowering, x: Value) -> Value:
    return elementwise("mul", x, apply("tanh", _softplus(low, x)))


@rule("aten.hardsigmoid")
def _hardsigmoid(low: Lowering, x: Value) -> Value:
    line = number("min", number("max", number("add", x, 3.0), 0.0), 6.0)
    return number("div", line, 6.0)


@rule("aten.glu")
def _glu(low: Lowering, x: Value, dim: int = -1) -> Value:
    from foreknown.capture.lower.views import cut

    axis = dim % x.rank
    half = x.sizes[axis] // 2  # type: ignore[operator]
    a, b = cut(x, axis, 0, half), cut(x, axis, half, 2 * half)
    return elementwise("mul", a, apply("sigmoid", b))
