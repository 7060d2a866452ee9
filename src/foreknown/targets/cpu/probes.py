"""Decoders of nobody's that calibration runs: small, of odd shapes, with every kernel in them.

They go through the same passes, planner and generator as any model, so what is measured is what
will run. A probe has the size that lets a machine hold it in its third-level cache, or read it
from memory when something else was read before. In few bits its first
layer has the largest matrices and the others' are narrow, so that what a product takes for its
weights, its outputs and its start is told apart. One of them comes three times: a model repeats
its layers, and a phase starts sooner where its code was just run.

    layer "norm"    root-mean-square norm, rotated queries and keys, gated activation
    layer "centred" norm of mean and variance, biases, plain activation
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreknown.graph.ir import Graph, Node, T, const, make
from foreknown.passes.lower_bits import StateFormat
from foreknown.passes.pipeline import Formats, lower
from foreknown.plan.plan import Limits, Plan, make_plan

VOCABULARY = 1056
CONTEXT = 2560
MAX_TOKENS, MAX_ROWS = 512, 32


@dataclass(frozen=True)
class ProbeLayer:
    """Attention and a feed-forward part.

    Attributes:
        heads: of queries; `groups` of keys and values.
        width: of a head.
        inner: elements between the two halves of the feed-forward part.
        gated: whether the layer is of the first kind.
    """

    heads: int
    groups: int
    width: int
    inner: int
    gated: bool = True


@dataclass(frozen=True)
class Probe:
    """One decoder.

    Attributes:
        weights: "f32", "bf16", "int8" or "int4".
        group: of int8 and int4: elements that share a scale.
        state: of keys and values.
        hidden: elements of a token's row.
    """

    weights: str
    group: int
    state: StateFormat
    hidden: int
    layers: tuple[ProbeLayer, ...]

    @property
    def format(self) -> str:
        """Of its weights, as machines name it."""
        return f"{self.weights}/{self.group}" if self.weights.startswith("int") else self.weights


PROBES = (
    Probe(
        *("f32", 32, "bf16", 256),
        (ProbeLayer(8, 2, 64, 480), ProbeLayer(3, 3, 64, 416, gated=False)),
    ),
    Probe(
        *("bf16", 32, "f32", 320),
        (
            ProbeLayer(8, 2, 64, 640),
            ProbeLayer(5, 5, 64, 576, gated=False),
            ProbeLayer(6, 2, 64, 544),
            ProbeLayer(16, 2, 64, 448),
        ),
    ),
    Probe(
        *("int8", 32, "f32", 896),
        (
            ProbeLayer(12, 3, 64, 1024),
            *[ProbeLayer(4, 2, 64, 128)] * 3,
            ProbeLayer(4, 2, 128, 64, gated=False),
        ),
    ),
    Probe(
        *("int8", 64, "bf16", 704),
        (ProbeLayer(16, 2, 64, 576), *[ProbeLayer(4, 2, 64, 128)] * 3, ProbeLayer(6, 2, 128, 128)),
    ),
    Probe(
        *("int4", 32, "int8", 1152),
        (
            ProbeLayer(12, 3, 64, 1536),
            ProbeLayer(5, 5, 64, 256),
            ProbeLayer(16, 2, 64, 160, gated=False),
            *[ProbeLayer(6, 2, 64, 96)] * 3,
        ),
    ),
    Probe(
        *("int4", 64, "int8", 1152),
        (ProbeLayer(8, 4, 64, 1024), ProbeLayer(8, 2, 128, 128), *[ProbeLayer(6, 2, 64, 128)] * 3),
    ),
)


def probe_plan(probe: Probe) -> Plan:
    """A probe after every pass, placed in memory."""
    stored = "f32" if probe.weights == "f32" else "bf16"
    formats = Formats(
        probe.weights if probe.weights.startswith("int") else "as stored", probe.state, probe.group
    )
    graph = lower(_decoder(probe, stored), CONTEXT, formats)
    return make_plan(graph, Limits(CONTEXT, MAX_TOKENS, MAX_ROWS))


def _decoder(probe: Probe, stored: str) -> Graph:
    def weight(name: str, *shape: int) -> Node:
        return make("weight", name=name, shape=shape, stored=stored)

    size = probe.hidden
    embed = weight("embed", VOCABULARY, size)
    x = make("take", embed, make("tokens"))
    for i, layer in enumerate(probe.layers):
        norm = _root_norm if layer.gated else _centred_norm

        def own(name: str, *shape: int, layer: int = i) -> Node:
            return weight(f"{layer}.{name}", *shape)

        h = norm(x, own("norm", size), own("shift", size))
        x = make("add", x, _attention(h, layer, size, own))
        h = norm(x, own("norm 2", size), own("shift 2", size))
        x = make("add", x, (_gated if layer.gated else _plain)(h, layer.inner, size, own))
    x = make("select_rows", x, make("rows"))
    x = _root_norm(x, weight("norm", size), x)
    return Graph(f"probe {probe.format}", {"logits": make("linear", x, embed)})


def _last(x: Node) -> tuple[int, ...]:
    return (len(x.shape) - 1,)


def _mean(x: Node) -> Node:
    return make("mul", make("sum", x, axes=_last(x)), const(1 / x.row_shape[-1]))


def _root_norm(x: Node, gain: Node, _: Node) -> Node:
    root = make("rsqrt", make("add", _mean(make("mul", x, x)), const(1e-5)))
    return make("mul", make("mul", x, root), gain)


def _centred_norm(x: Node, gain: Node, shift: Node) -> Node:
    centred = make("sub", x, _mean(x))
    root = make("rsqrt", make("add", _mean(make("mul", centred, centred)), const(1e-5)))
    return make("add", make("mul", make("mul", centred, root), gain), shift)


def rotated(x: Node, context: int) -> Node:
    """Heads turned by their positions, as rotary embeddings have it."""
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


def _attention(x: Node, layer: ProbeLayer, size: int, own) -> Node:  # type: ignore[no-untyped-def]
    heads, groups, width = layer.heads, layer.groups, layer.width
    joined = make("linear", x, own("qkv", (heads + 2 * groups) * width, size))
    if not layer.gated:
        joined = make("add", joined, own("qkv bias", (heads + 2 * groups) * width))

    def part(start: int, count: int) -> Node:
        first, last = start * width, (start + count) * width
        piece = make("slice", joined, axis=1, start=first, stop=last, step=1)
        return make("reshape", piece, shape=(T, count, width))

    q, k, v = part(0, heads), part(heads, groups), part(heads + groups, groups)
    if layer.gated:
        q, k = rotated(q, CONTEXT), rotated(k, CONTEXT)
    every = {"chunk": None, "softcap": None, "sinks": False, "bias": False, "window": None}
    seen = make("attend", q, k, v, scale=width**-0.5, **every)
    flat = make("reshape", seen, shape=(T, heads * width))
    return make("linear", flat, own("out", size, heads * width))


def _gated(x: Node, inner: int, size: int, own) -> Node:  # type: ignore[no-untyped-def]
    both = make("linear", x, own("gate and up", 2 * inner, size))
    gate = make("slice", both, axis=1, start=0, stop=inner, step=1)
    up = make("slice", both, axis=1, start=inner, stop=2 * inner, step=1)
    active = make("mul", make("mul", gate, make("sigmoid", gate)), up)
    return make("linear", active, own("down", size, inner))


def _plain(x: Node, inner: int, size: int, own) -> Node:  # type: ignore[no-untyped-def]
    h = make("add", make("linear", x, own("up", inner, size)), own("up bias", inner))
    cube = make("add", h, make("mul", make("mul", make("mul", h, h), h), const(0.044715)))
    swing = make("add", make("tanh", make("mul", cube, const(0.7978845608))), const(1.0))
    active = make("mul", make("mul", h, const(0.5)), swing)
    return make("linear", active, own("down", size, inner))
