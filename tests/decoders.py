"""Small decoders built by hand, with every kind of layer that a step may meet."""

from __future__ import annotations

from dataclasses import dataclass

from foreknown.graph.ir import Graph, Node, T, const, make
from foreknown.targets.cpu.probes import rotated

VOCABULARY = 67
EXPERTS, CHOSEN = 5, 2


@dataclass(frozen=True)
class Widths:
    """Sizes of a decoder, none of which divides another unless it must."""

    model: int = 40
    heads: int = 4
    groups: int = 2
    head: int = 12
    inner: int = 52
    expert: int = 24


NARROW = Widths()
WIDE = Widths(model=96, heads=6, groups=2, head=32, inner=160, expert=64)
"""Widths that few bits can hold: multiples of 32, some of them of 64."""


def weight(name: str, *shape: int, stored: str = "f32") -> Node:
    return make("weight", name=name, shape=shape, stored=stored)


def norm(x: Node, gain: Node) -> Node:
    """Root-mean-square norm over the last axis."""
    last = len(x.shape) - 1
    mean = make("mul", make("sum", make("mul", x, x), axes=(last,)), const(1 / x.row_shape[-1]))
    return make("mul", make("mul", x, make("rsqrt", make("add", mean, const(1e-5)))), gain)


def silu(x: Node) -> Node:
    return make("mul", x, make("sigmoid", x))


def attention(
    x: Node, name: str, stored: str, context: int, window: int | None, size: Widths
) -> Node:
    heads, groups, head = size.heads, size.groups, size.head
    rows = (heads + 2 * groups) * head
    joined = make("linear", x, weight(f"{name}.qkv", rows, size.model, stored=stored))

    def part(start: int, count: int) -> Node:
        piece = make(
            "slice", joined, axis=1, start=start * head, stop=(start + count) * head, step=1
        )
        return make("reshape", piece, shape=(T, count, head))

    q, k = rotated(part(0, heads), context), rotated(part(heads, groups), context)
    v = part(heads + groups, groups)
    every = {"chunk": None, "softcap": None, "sinks": False, "bias": False}
    seen = make("attend", q, k, v, scale=head**-0.5, window=window, **every)
    flat = make("reshape", seen, shape=(T, heads * head))
    return make("linear", flat, weight(f"{name}.out", size.model, heads * head, stored=stored))


def gated(x: Node, name: str, stored: str, size: Widths) -> Node:
    inner = size.inner
    both = make("linear", x, weight(f"{name}.gate_up", 2 * inner, size.model, stored=stored))
    gate = make("slice", both, axis=1, start=0, stop=inner, step=1)
    up = make("slice", both, axis=1, start=inner, stop=2 * inner, step=1)
    down = weight(f"{name}.down", size.model, inner, stored=stored)
    return make("linear", make("mul", silu(gate), up), down)


def routed(x: Node, name: str, stored: str, size: Widths) -> Node:
    """Experts chosen by the best of a softmax."""
    scores = make("linear", x, weight(f"{name}.router", EXPERTS, size.model, stored=stored))
    shares = make("exp", make("sub", scores, make("amax", scores, axes=(1,))))
    shares = make("div", shares, make("sum", shares, axes=(1,)))
    index = make("topk_indices", shares, k=CHOSEN, largest=True)
    share = make("reshape", make("gather", shares, index, axis=1), shape=(T, CHOSEN, 1))
    into = weight(f"{name}.up", EXPERTS, size.expert, size.model, stored=stored)
    back = weight(f"{name}.down", EXPERTS, size.model, size.expert, stored=stored)
    down = make("experts", silu(make("experts", x, into, index)), back, index)
    return make("reshape", make("sum", make("mul", down, share), axes=(1,)), shape=(T, size.model))


def recurrent(x: Node, name: str, stored: str, size: Widths) -> Node:
    """A causal convolution of three taps and a linear recurrence."""
    width = size.model
    taps = [x, make("shift", x, n=1), make("shift", x, n=2)]
    mixed = make("mul", taps[0], weight(f"{name}.tap0", width))
    for i, tap in enumerate(taps[1:], 1):
        mixed = make("add", mixed, make("mul", tap, weight(f"{name}.tap{i}", width)))
    mixed = silu(mixed)
    decay = make("sigmoid", make("linear", x, weight(f"{name}.decay", width, width, stored=stored)))
    state = make("scan", decay, make("mul", mixed, make("sub", const(1.0), decay)))
    return make("linear", state, weight(f"{name}.mix", width, width, stored=stored))


def decoder(
    layers: str = "awmer",
    *,
    stored: str = "f32",
    context: int = 128,
    name: str = "decoder",
    wide: bool = False,
) -> Graph:
    """A decoder with tied embeddings, and the hidden states that its head reads.

    Args:
        layers: one letter each: attention, windowed attention, gated MLP, experts, recurrence.
        wide: of widths that few bits can hold.
    """
    size = WIDE if wide else NARROW
    embed = weight("embed", VOCABULARY, size.model, stored=stored)
    x = make("take", embed, make("tokens"))
    for i, kind in enumerate(layers):
        h = norm(x, weight(f"{i}.norm", size.model, stored=stored))
        match kind:
            case "a" | "w":
                y = attention(h, f"{i}", stored, context, 9 if kind == "w" else None, size)
            case "m":
                y = gated(h, f"{i}", stored, size)
            case "e":
                y = routed(h, f"{i}", stored, size)
            case _:
                y = recurrent(h, f"{i}", stored, size)
        x = make("add", x, y)
    x = make("select_rows", x, make("rows"))
    hidden = norm(x, weight("norm", size.model, stored=stored))
    return Graph(name, {"logits": make("linear", hidden, embed), "hidden": hidden})
