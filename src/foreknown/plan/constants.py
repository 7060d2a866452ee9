"""Which constants a program holds, in which layout, and where: the packed weights file.

A constant is a maximal expression without rows: a weight, or what follows from weights alone
(joined, transposed, one plus a norm's scale). It is evaluated when the checkpoint is packed.

    flat    row-major, for vectors and tables
    panel   [groups][n / 16][k][n % 16], zero rows after the last: matrices of `linear`, `experts`
    lowbit  the same with 4 or 8 bits an element, as `layout` draws it
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal as Choice

from foreknown.graph.ir import Graph, Literal, Node, has_weight
from foreknown.graph.ops import VIEW
from foreknown.plan.layout import STORED_BYTES, matrix_bytes, padded

ALIGNMENT = 4096
"""Bytes: constants start on pages, so that each can be mapped and dropped by itself."""


READ_IN_KERNELS = frozenset({"linear", "experts", "attend"})
"""Operations that read constants from memory, even one of a single element."""


Layout = Choice["flat", "panel", "lowbit"]


@dataclass(frozen=True)
class Constant:
    """One constant in the weights file.

    Attributes:
        node: the expression whose value it is.
        layout: flat, panel or lowbit.
        stored: f32, bf16, i32, bool, int4 or int8.
        offset: bytes from the file's start.
        bytes: its size, without padding.
    """

    node: Node
    layout: Layout
    stored: str
    offset: int
    bytes: int


def place_constants(graph: Graph, weights: str = "as stored") -> dict[Node, Constant]:
    """Lay out every constant that the graph's rows read.

    Args:
        weights: "as stored", "f32", "bf16", "int8" or "int4": the format of matrices and tables.
    """
    matrices: set[Node] = set()
    vectors: set[Node] = set()
    others: dict[Node, None] = {}
    for user in graph.nodes:
        if user.rows is None:
            continue
        for position, arg in enumerate(user.args):
            if arg.rows is not None or (_inline(arg) and user.op not in READ_IN_KERNELS):
                continue
            if position == 1 and user.op in {"linear", "experts"}:
                matrices.add(arg)
            if user.op == "attend":  # sinks and biases, which its kernel reads in f32
                vectors.add(arg)
            others.setdefault(arg)
    placed: dict[Node, Constant] = {}
    offset = 0
    for node in others:
        layout: Layout = "panel" if node in matrices else "flat"
        stored = "f32" if node in vectors else stored_as(node, weights)
        if node.op == "lowbit":
            layout, stored = "lowbit", f"int{node.integer('bits')}"
        flat = layout == "flat"
        size = node.row_size * STORED_BYTES[stored] if flat else matrix_bytes(node, stored)
        placed[node] = Constant(node, layout, stored, offset, size)
        offset += padded(size, ALIGNMENT)
    return placed


def file_bytes(constants: Iterable[Constant]) -> int:
    """Size of the weights file."""
    return max((c.offset + padded(c.bytes, ALIGNMENT) for c in constants), default=0)


def stored_as(node: Node, weights: str) -> str:
    """bf16 only where every element is a bf16 of the checkpoint, or the user asked for it.

    What does not fit into the few bits that were asked for is held in bf16.
    """
    if node.dtype != "f32":
        return node.dtype
    if weights in {"int8", "int4"}:
        weights = "bf16"
    if weights in {"f32", "bf16"}:
        matrix = len(node.shape) >= 2 and all(isinstance(d, int) and d > 1 for d in node.shape[-2:])
        return weights if matrix and has_weight(node) else "f32"
    return "bf16" if moved_bf16(node) else "f32"


def moved_bf16(node: Node) -> bool:
    """Whether a constant is elements of bf16 weights in another place, and nothing else."""
    if node.op == "weight":
        return node.attrs["stored"] == "bf16"
    return node.op in VIEW and all(map(moved_bf16, node.args))


def _inline(node: Node) -> bool:
    value = node.attrs.get("value")
    return isinstance(value, Literal) and value.array.size == 1


def constant_text(node: Node) -> str:
    """A constant's expression over the checkpoint's tensors, for people."""
    if node.op == "weight":
        return str(node.attrs["name"])
    return f"{node.op}({', '.join(map(constant_text, node.args))})" if node.args else node.op
