"""What reads earlier tokens: attention, shifts and causal convolutions."""

from __future__ import annotations

from typing import Any

from torch.fx import Node as FxNode

from foreknown.capture.lower import masks, scores
from foreknown.capture.lower.layout import Tokens, Value, expand, permute, reshape_node
from foreknown.capture.lower.lowering import Lowering
from foreknown.capture.lower.rules import rule
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Node, T, make


def heads_of(x: Value) -> Node:
    """[1, heads, tokens, width] as [T, heads, width]."""
    batch, heads, tokens, width = x.sizes
    if batch != 1 or tokens != Tokens(1) or not x.node.rows:
        raise UnsupportedOp(f"attention over {x.sizes}")
    assert isinstance(heads, int) and isinstance(width, int)
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
    visible = masks.recognise(
        low, [m for m in (mask, bias) if m is not None], causal and mask is None
    )
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


def pad(low: Lowering, x: Value, amounts: list[int], fill: float) -> Value:
    """Zeros beside static axes; beside the token axis, see `shifts`."""
    from foreknown.capture.lower.elementwise import as_value
    from foreknown.capture.lower.views import cut, join

    for i in range(len(amounts) // 2):
        axis = x.rank - 1 - i
        before, after = amounts[2 * i], amounts[2 * i + 1]
        if before == after == 0:
            continue
        size = x.sizes[axis]
        if isinstance(size, Tokens):
            raise UnsupportedOp("padding of the tokens")
        for n, first in ((before, True), (after, False)):
            if n < 0:
                size = x.sizes[axis]
                assert isinstance(size, int)
                x = cut(x, axis, -n, size) if first else cut(x, axis, 0, size + n)
            elif n > 0:
                sizes = list(x.sizes)
                sizes[axis] = n
                block = expand(as_value(fill, x.node.dtype), sizes)
                x = join([block, x] if first else [x, block], axis)
    return x
