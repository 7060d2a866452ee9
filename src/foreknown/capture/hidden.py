"""Finds the hidden states: the rows that the last product, the one with the head, reads.

    %h = mul %n, %gain : f32[T,64]                <- these
    %p = linear %h, %head : f32[T,1008]
    %q = slice %p {axis=1, start=0, step=1, stop=1000} : f32[T,1000]
    %logits = tanh %q : f32[T,1000]

Found from the logits backwards, through what works on each row of one value alone: soft caps,
scales, biases, views. Knows nothing of models: a head of any other form has no hidden states.
"""

from __future__ import annotations

from foreknown.graph.ir import Node, T, make
from foreknown.graph.ops import ELEMENTWISE, VIEW


def hidden_states(logits: Node) -> Node | None:
    """What the head reads, f32[T, hidden_size]; None where no single product makes the logits.

    Args:
        logits: f32[T, vocabulary].
    """
    node = logits
    while node.op in ELEMENTWISE | VIEW:
        changing = {a for a in node.args if a.rows is T}
        if len(changing) != 1:
            return None
        (node,) = changing
    if node.op != "linear" or node.row_shape[-1] < logits.row_size:
        return None
    x, head = node.args
    width = head.row_shape[-1]
    if x.row_size != width:  # several rows of a token meet the head, each for a part of the logits
        return None
    return x if x.shape == (T, width) else make("reshape", x, shape=(T, width))
