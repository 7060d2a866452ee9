"""What reads earlier tokens: attention, shifts and causal convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.fx import Node as FxNode

from foreknown.capture.lower import masks, scores
from foreknown.capture.lower.layout import (
    Tokens,
    Value,
    expand,
    node_shape,
    normal,
    numbers,
    permute,
    reshape_node,
)
from foreknown.capture.lower.lowering import Lowering
from foreknown.capture.lower.rules import rule
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Literal, Node, T, const, make


def heads_of(x: Value) -> Node:
    """[1, heads, tokens, width] as [T, heads, width]."""
    batch, _, tokens, _ = x.sizes
    if batch != 1 or tokens != Tokens(1) or not x.node.rows:
        raise UnsupportedOp(f"attention over {x.sizes}")
    heads, width = numbers(x.sizes[1], x.sizes[3])
    return reshape_node(x.node, (T, heads, width))


def attend(
    low: Lowering,
    query: Node,
    key: Node,
    value: Node,
    visible: masks.Visible,
    scale: float,
    softcap: float | None = None,
    sinks: Node | None = None,
) -> Node:
    """The IR's attend over [T, heads, width]; repeated keys and values are told once."""
    key, value = scores.without_repeats(key, value)
    bias = visible.bias
    if bias is not None and bias.shape[0] != query.shape[1]:
        bias = make("broadcast", bias, shape=(query.shape[1], bias.shape[1]))
    extra = [n for n in (sinks, bias) if n is not None]
    return make(
        "attend",
        query,
        key,
        value,
        *extra,
        scale=float(scale),
        window=visible.window,
        chunk=visible.chunk,
        softcap=softcap or None,
        sinks=sinks is not None,
        bias=bias is not None,
    )


def _part(low: Lowering, mask: Any) -> masks.Part:
    node = mask if isinstance(mask, FxNode) else low.traced(mask)
    if node is None or node not in low.known:
        raise UnsupportedOp("a mask or bias that depends on the tokens' values")
    return masks.Part(node)


@rule("foreknown.attend")
def _attend(
    low: Lowering,
    query: Value,
    key: Value,
    value: Value,
    mask: Any,
    sinks: Value | None,
    bias: Any,
    scale: float,
    softcap: float,
    window: int,
    causal: bool,
) -> Value:
    q, k, v = heads_of(query), heads_of(key), heads_of(value)
    if mask is None and not causal:
        raise UnsupportedOp("attention to later tokens")
    parts = [_part(low, m) for m in (mask, bias) if m is not None]
    visible = masks.recognise(low, parts, causal)
    if window:
        visible = visible.within(window, low.context)
    sink = None
    if sinks is not None:
        assert isinstance(q.shape[1], int)
        sink = reshape_node(sinks.node, (q.shape[1],))
    node = attend(low, q, k, v, visible, scale, softcap, sink)
    _, heads, width = node.shape
    return Value(node, ((), (T,), *(((d,) if d != 1 else ()) for d in (heads, width)))).tidy()


@rule("aten.scaled_dot_product_attention")
def _sdpa(
    low: Lowering,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    q, k, v = heads_of(query), heads_of(key), heads_of(value)
    if attn_mask is None and not is_causal:
        raise UnsupportedOp("attention to later tokens")
    parts = [] if attn_mask is None else [_part(low, attn_mask)]
    visible = masks.recognise(low, parts, is_causal)
    width = q.shape[-1]
    assert isinstance(width, int)
    node = attend(low, q, k, v, visible, float(width) ** -0.5 if scale is None else scale)
    result = Value(node, ((), (T,), *(((d,) if d != 1 else ()) for d in node.shape[1:]))).tidy()
    return permute(result, [0, 2, 1, 3])


# Running sums, shifts and causal convolutions


def running_sum(x: Value, axis: int) -> Value:
    """A sum over the tokens up to each: a scan that forgets nothing."""
    if x.axes[axis] != (T,):
        raise UnsupportedOp("a running sum over tokens merged with something else")
    dtype = x.node.dtype
    value = x.node if dtype == "f32" else make("cast", x.node, dtype="f32")
    total = make("scan", const(1.0), value)
    return Value(total if dtype == "f32" else make("cast", total, dtype=dtype), x.axes)


@rule("foreknown.scan")
def _scan(
    low: Lowering, decay: Value, input: Value, out: Value | None = None, into: Value | None = None
) -> Value:
    """Tensors of [1, T, state…]; out and into lack the state's last axis."""
    sizes = low.result_sizes()
    if sizes[:2] != (1, Tokens(1)):
        raise UnsupportedOp(f"a recurrence over {sizes}")
    state = tuple(d for d in sizes[2:] if isinstance(d, int))
    args = [_state(decay, state), _state(expand(input, sizes), state)]
    for vector in (out, into):
        if vector is not None:
            args.append(_state(expand(vector, sizes[:-1]), state[:-1]))
    axes = ((), (T,), *(normal((d,)) for d in state))
    node = make("scan", *args)
    return Value(reshape_node(node, node_shape(axes)), axes)


def _state(x: Value, state: tuple[int, ...]) -> Node:
    """The node of [1, T, …] with every axis of the state in place, be it of one element."""
    if x.rank != len(state) + 2 or x.axes[0] != () or x.axes[1] not in ((), (T,)):
        raise UnsupportedOp(f"a recurrence with {x.sizes}")
    rows = (T,) if x.node.rows else ()
    return reshape_node(x.node, (*rows, *numbers(*x.sizes[2:])))


@dataclass(frozen=True)
class Padded:
    """A value with more on its token axis: index j there is token j - before.

    What is before the first token is zero, or `fill` in each channel: what a convolution of
    zeros gives, its bias.
    """

    value: Value
    axis: int
    before: int
    size: Tokens
    fill: Node | None = None

    @property
    def rank(self) -> int:
        return self.value.rank

    @property
    def sizes(self) -> tuple[Any, ...]:
        sizes = list(self.value.sizes)
        sizes[self.axis] = self.size
        return tuple(sizes)

    def cut(self, start: int, size: Any) -> Value:
        """The T elements from `start` on, as a value.

        Raises:
            UnsupportedOp: they are not the tokens, or reach later ones.
        """
        if start < 0:
            raise UnsupportedOp("a range from the end of padded tokens")
        if size != Tokens(1):
            raise UnsupportedOp(f"{size} of the padded tokens")
        back = self.before - start
        if back < 0:
            raise UnsupportedOp("tokens that look at later ones")
        return Value(shifted(self.value.node, back, self.fill), self.value.axes)


def join_tokens(parts: Sequence[Any], axis: int) -> Any:
    """Zeros before tokens, as in a step back in time.

    Raises:
        UnsupportedOp: something else is joined along the token axis.
    """
    at = next(i for i, p in enumerate(parts) if isinstance(p.sizes[axis], Tokens))
    part, others = parts[at], [*parts[:at], *parts[at + 1 :]]
    if any(isinstance(p.sizes[axis], Tokens) or not _is_zero(p.node) for p in others):
        raise UnsupportedOp("more tokens joined to the tokens of a step")
    before = sum(p.sizes[axis] for p in parts[:at])
    size = part.sizes[axis]
    if isinstance(part, Padded):
        if part.axis != axis or part.fill is not None or part.before > 0:
            raise UnsupportedOp("padded tokens padded again")
        value, before = part.value, before + part.before
    else:
        value = part
    total = Tokens(1, size.plus + sum(p.sizes[axis] for p in others))
    padded = Padded(value, axis, before, total)
    return padded.cut(0, total) if total == Tokens(1) else padded


def _is_zero(node: Node) -> bool:
    if node.op in {"linear", "mul", "reshape", "broadcast", "permute", "cast"}:
        return any(map(_is_zero, node.args))
    literal = node.attrs.get("value")
    return isinstance(literal, Literal) and not literal.array.any()


def shifted(node: Node, back: int, fill: Node | None = None) -> Node:
    """The node `back` tokens earlier; before the first token zero, or `fill` where it is given."""
    if not back:
        return node
    if fill is None:
        return make("shift", node, n=back)
    return make("add", make("shift", make("sub", node, fill), n=back), fill)


def pad(low: Lowering, x: Any, amounts: list[int], fill: float) -> Any:
    """Zeros beside static axes or the token axis."""
    tokens: tuple[int, int, int] | None = None
    for i in range(len(amounts) // 2):
        axis = x.rank - 1 - i
        before, after = amounts[2 * i], amounts[2 * i + 1]
        if before == after == 0:
            continue
        size = x.sizes[axis]
        if isinstance(size, Tokens):
            if size != Tokens(1) or fill != 0:
                raise UnsupportedOp("padding of the tokens")
            tokens = (axis, before, after)
            continue
        for n, first in ((before, True), (after, False)):
            if n < 0:
                size = x.sizes[axis]
                assert isinstance(size, int)
                x = views.cut(x, axis, -n, size) if first else views.cut(x, axis, 0, size + n)
            elif n > 0:
                sizes = list(x.sizes)
                sizes[axis] = n
                block = expand(as_value(fill, x.node.dtype), sizes)
                x = views.join([block, x] if first else [x, block], axis)
    if tokens is None:
        return x
    axis, before, after = tokens
    padded = Padded(x, axis, before, Tokens(1, before + after))
    return padded.cut(0, Tokens(1)) if before + after == 0 else padded


@rule("aten.conv1d")
def _conv1d(
    low: Lowering,
    input: Any,
    weight: Value,
    bias: Value | None = None,
    stride: Sequence[int] = (1,),
    padding: Any = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Any:
    if list(stride) != [1] or isinstance(padding, str):
        raise UnsupportedOp("a convolution in strides")
    x = input.value if isinstance(input, Padded) else input
    channels = x.rank - 2
    fill = input.fill if isinstance(input, Padded) else None
    if x.axes[x.rank - 1] != (T,):
        raise UnsupportedOp("a convolution that is not over tokens")
    outputs, inputs, taps = numbers(*weight.sizes)
    kernel = reshape_node(weight.node, (outputs, inputs, taps))
    total: Node | None = None
    for k in range(taps):
        tap = make("slice", kernel, axis=2, start=k, stop=k + 1, step=1) if taps > 1 else kernel
        row = reshape_node(x.node, (T, groups * inputs))
        back = shifted(row, (taps - 1 - k) * dilation[0], fill)
        if inputs == 1 and outputs == groups:
            term = make("mul", back, reshape_node(tap, (outputs,)))
        elif groups == 1:
            term = make("linear", back, reshape_node(tap, (outputs, inputs)))
        else:
            rows = reshape_node(back, (T, groups, inputs))
            term = make("linear", rows, reshape_node(tap, (groups, outputs // groups, inputs)))
            term = reshape_node(term, (T, outputs))
        total = term if total is None else make("add", total, term)
    assert total is not None
    size = low.result_sizes()[-1]
    assert isinstance(size, Tokens)
    if bias is not None:
        bias_row = reshape_node(bias.node, (outputs,))
        total = make("add", total, bias_row)
    axes = (*x.axes[:channels], normal((outputs,)), (T,))
    result = Value(reshape_node(total, node_shape(axes)), axes)
    reach = (taps - 1) * dilation[0]
    if fill is not None and (padding[0] or size != Tokens(1)):
        raise UnsupportedOp("a convolution of a convolution that is padded in between")
    before = (input.before if isinstance(input, Padded) else 0) + padding[0] - reach
    if size == Tokens(1) and before == 0:
        return result
    return Padded(result, x.rank - 1, before, size, None if bias is None else bias_row)


from foreknown.capture.lower import views  # noqa: E402
from foreknown.capture.lower.elementwise import as_value  # noqa: E402
