"""Small decoders built by hand, with every kind of layer that a step may meet."""

from __future__ import annotations

import numpy as np

from foreknown.graph.ir import Graph, Node, T, const, make

VOCABULARY = 67
WIDTH, HEADS, GROUPS, HEAD = 40, 4, 2, 12
INNER, EXPERTS, CHOSEN = 52, 5, 2


def weight(name: str, *shape: int, stored: str = "f32") -> Node:
    return make("weight", name=name, shape=shape, stored=stored)


def norm(x: Node, gain: Node) -> Node:
    """Root-mean-square norm over the last axis."""
    last = len(x.shape) - 1
    mean = make("mul", make("sum", make("mul", x, x), axes=(last,)), const(1 / x.row_shape[-1]))
    return make("mul", make("mul", x, make("rsqrt", make("add", mean, const(1e-5)))), gain)


def rope(x: Node, context: int) -> Node:
    half = x.row_shape[-1] // 2
    angle = np.outer(np.arange(context), 1e4 ** -(np.arange(half) / half))
    angle = np.concatenate([angle, angle], -1).astype(np.float32)
    cos, sin = (
        make("reshape", make("take", const(f(angle)), make("positions")), shape=(T, 1, 2 * half))
        for f in (np.cos, np.sin)
    )
    low = make("slice", x, axis=2, start=0, stop=half, step=1)
    high = make("slice", x, axis=2, start=half, stop=2 * half, step=1)
    turned = make("concat", make("neg", high), low, axis=2)
    return make("add", make("mul", x, cos), make("mul", turned, sin))


def silu(x: Node) -> Node:
    return make("mul", x, make("sigmoid", x))


def attention(x: Node, name: str, stored: str, context: int, window: int | None) -> Node:
    rows = (HEADS + 2 * GROUPS) * HEAD
    joined = make("linear", x, weight(f"{name}.qkv", rows, WIDTH, stored=stored))

    def part(start: int, heads: int) -> Node:
        piece = make(
            "slice", joined, axis=1, start=start * HEAD, stop=(start + heads) * HEAD, step=1
        )
        return make("reshape", piece, shape=(T, heads, HEAD))

    q, k = rope(part(0, HEADS), context), rope(part(HEADS, GROUPS), context)
    v = part(HEADS + GROUPS, GROUPS)
    every = {"chunk": None, "softcap": None, "sinks": False, "bias": False}
    seen = make("attend", q, k, v, scale=HEAD**-0.5, window=window, **every)
    flat = make("reshape", seen, shape=(T, HEADS * HEAD))
    return make("linear", flat, weight(f"{name}.out", WIDTH, HEADS * HEAD, stored=stored))


def gated(x: Node, name: str, stored: str) -> Node:
    both = make("linear", x, weight(f"{name}.gate_up", 2 * INNER, WIDTH, stored=stored))
    gate = make("slice", both, axis=1, start=0, stop=INNER, step=1)
    up = make("slice", both, axis=1, start=INNER, stop=2 * INNER, step=1)
    return make(
        "linear", make("mul", silu(gate), up), weight(f"{name}.down", WIDTH, INNER, stored=stored)
    )


def routed(x: Node, name: str, stored: str) -> Node:
    """Experts chosen by the best of a softmax."""
    scores = make("linear", x, weight(f"{name}.router", EXPERTS, WIDTH, stored=stored))
    shares = make("exp", make("sub", scores, make("amax", scores, axes=(1,))))
    shares = make("div", shares, make("sum", shares, axes=(1,)))
    index = make("topk_indices", shares, k=CHOSEN, largest=True)
    share = make("reshape", make("gather", shares, index, axis=1), shape=(T, CHOSEN, 1))
    up = make("experts", x, weight(f"{name}.up", EXPERTS, 24, WIDTH, stored=stored), index)
    down = make(
        "experts", silu(up), weight(f"{name}.down", EXPERTS, WIDTH, 24, stored=stored), index
    )
    return make("reshape", make("sum", make("mul", down, share), axes=(1,)), shape=(T, WIDTH))


def recurrent(x: Node, name: str, stored: str) -> Node:
    """A causal convolution of three taps and a linear recurrence."""
    taps = [x, make("shift", x, n=1), make("shift", x, n=2)]
    mixed = make("mul", taps[0], weight(f"{name}.tap0", WIDTH))
    for i, tap in enumerate(taps[1:], 1):
        mixed = make("add", mixed, make("mul", tap, weight(f"{name}.tap{i}", WIDTH)))
    mixed = silu(mixed)
    decay = make("sigmoid", make("linear", x, weight(f"{name}.decay", WIDTH, WIDTH, stored=stored)))
    state = make("scan", decay, make("mul", mixed, make("sub", const(1.0), decay)))
    return make("linear", state, weight(f"{name}.mix", WIDTH, WIDTH, stored=stored))


def decoder(
    layers: str = "awmer", *, stored: str = "f32", context: int = 128, name: str = "decoder"
) -> Graph:
    """A decoder with tied embeddings.

    Args:
        layers: one letter each: attention, windowed attention, gated MLP, experts, recurrence.
    """
    embed = weight("embed", VOCABULARY, WIDTH, stored=stored)
    x = make("take", embed, make("tokens"))
    for i, kind in enumerate(layers):
        h = norm(x, weight(f"{i}.norm", WIDTH, stored=stored))
        match kind:
            case "a" | "w":
                y = attention(h, f"{i}", stored, context, 9 if kind == "w" else None)
            case "m":
                y = gated(h, f"{i}", stored)
            case "e":
                y = routed(h, f"{i}", stored)
            case _:
                y = recurrent(h, f"{i}", stored)
        x = make("add", x, y)
    x = make("select_rows", x, make("rows"))
    logits = make("linear", norm(x, weight("norm", WIDTH, stored=stored)), embed)
    return Graph(name, {"logits": logits})
