"""Packs a checkpoint's tensors into the weights file: evaluates, lays out and writes one constant
after another, so memory never holds more than the largest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from foreknown.errors import CheckpointError
from foreknown.graph.bf16 import from_bf16, to_bf16
from foreknown.graph.interpret import evaluate
from foreknown.graph.ir import Node, topological
from foreknown.plan.constants import ALIGNMENT, Constant, constant_text, moved_bf16
from foreknown.plan.layout import LANES, PANEL_ROWS, padded
from foreknown.targets.cpu.tools import is_finite, lowbit_panels, panels, quantised

Array = NDArray[Any]
LOWBIT_PIECE_ELEMENTS = 1 << 22
"""What is rounded at a time: enough for all threads, 16 MiB in f32."""
PIECE_BYTES = 1 << 18
"""What is transposed at a time: small enough for a core's own cache."""


class Weights(Protocol):
    """Where a capture finds the values of its `weight` nodes."""

    def read(self, name: str) -> Array:
        """f32, or uint16 holding the bits of bf16 or f16, or i32."""


def pack(
    constants: Iterable[Constant],
    weights: Weights,
    file: BinaryIO,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write every constant at its place.

    Args:
        file: opened for writing at its start, seekable.
        progress: told the bytes written since its last call.

    Raises:
        CheckpointError: a weight holds NaN or infinity.
    """
    for constant in constants:
        node, stored = constant.node, constant.stored
        importance = None
        if constant.layout == "lowbit":  # rounded a piece at a time, when its panels are written
            node, *by_column = node.args
            importance = _value(by_column[0], "f32", weights) if by_column else None
            stored = "bf16" if moved_bf16(node) else "f32"
        value = _value(node, stored, weights)
        file.seek(constant.offset)
        for piece in _pieces(value, constant, importance):
            file.write(piece.data)
            progress(piece.nbytes)
        padding = -constant.bytes % ALIGNMENT
        file.write(b"\0" * padding)


def _value(node: Node, stored: str, weights: Weights) -> Array:
    """A constant's value in its stored format; bf16 that is only moved keeps its bits."""
    names = {str(n.attrs["name"]): n for n in topological([node]) if n.op == "weight"}
    if stored == "bf16" and moved_bf16(node):
        value = evaluate_bits(node, weights)
    else:
        value = evaluate(node, {name: _as_f32(weights.read(name), n) for name, n in names.items()})
        if stored == "bf16":
            value = to_bf16(value)
    # relative-position tables and masks are ours and may hold -inf; weights may not
    if names and node.dtype == "f32" and not is_finite(value):
        raise _not_finite(names, weights)
    return np.asarray(value)


def _not_finite(names: dict[str, Node], weights: Weights) -> CheckpointError:
    culprits = [n for n, node in names.items() if not is_finite(_as_f32(weights.read(n), node))]
    if culprits:
        return CheckpointError(
            "a weight is not a finite number (NaN or infinity)",
            where=", ".join(culprits),
            remedy="the checkpoint is damaged or its training diverged: get another copy",
        )
    return CheckpointError(
        "weights become infinite in the format they are to be held in",
        where=", ".join(names),
        remedy="hold them in a wider one: --weights f32",
    )


def evaluate_bits(node: Node, weights: Weights) -> Array:
    """A pure movement of weights, on the bits of bf16."""
    if node.op == "weight":
        return weights.read(str(node.attrs["name"]))
    args = [evaluate_bits(a, weights) for a in node.args]
    attrs: Any = node.attrs
    match node.op:
        case "reshape":
            return args[0].reshape(attrs["shape"])
        case "permute":
            return args[0].transpose(attrs["axes"])
        case "concat":
            return np.concatenate(args, axis=attrs["axis"])
        case "broadcast":
            return np.broadcast_to(args[0], attrs["shape"])
        case _:
            part: list[slice] = [slice(None)] * args[0].ndim
            part[attrs["axis"]] = slice(attrs["start"], attrs["stop"], attrs["step"])
            return args[0][tuple(part)]


def _as_f32(array: Array, node: Node) -> Array:
    if array.dtype != np.uint16:
        return array
    if node.attrs["stored"] == "bf16":
        return from_bf16(array)
    return array.view(np.float16).astype(np.float32)


def _lowbit_pieces(value: Array, node: Node, importance: Array | None) -> Iterator[Array]:
    """Panels of low-bit weights, rounded a few rows at a time.

    Args:
        value: f32, or the bits of bf16.
        importance: of each column, f32[k].
    """
    bits, group = node.integer("bits"), node.integer("group")
    *_, n, k = value.shape
    step = padded(max(1, LOWBIT_PIECE_ELEMENTS // k), PANEL_ROWS)
    for matrix in value.reshape(-1, n, k):
        for start in range(0, n, step):
            rows = matrix[start : start + step]
            exact = from_bf16(rows) if rows.dtype == np.uint16 else rows
            codes, scales = quantised(exact, bits, group, importance)
            if not np.isfinite(scales).all():
                raise CheckpointError(
                    f"weights are too large for {bits} bits with f16 scales",
                    where=constant_text(node),
                    remedy="hold them in a wider format: --weights bf16",
                )
            yield lowbit_panels(codes, scales, bits, group)


def _pieces(value: Array, constant: Constant, importance: Array | None = None) -> Iterator[Array]:
    if constant.layout == "lowbit":
        yield from _lowbit_pieces(value, constant.node, importance)
        return
    dtypes = {"f32": np.float32, "bf16": np.uint16, "i32": np.int32, "bool": np.uint8}
    dtype = np.dtype(dtypes[constant.stored])
    if constant.layout == "flat":
        flat = value.reshape(-1)
        step = PIECE_BYTES // dtype.itemsize
        for start in range(0, max(flat.size, 1), step):
            yield np.ascontiguousarray(flat[start : start + step].astype(dtype, copy=False))
        return
    *_, n, k = value.shape
    step = max(LANES, PIECE_BYTES // (k * dtype.itemsize) // LANES * LANES)
    for matrix in value.reshape(-1, n, k):
        for start in range(0, n, step):
            yield panels(matrix[start : start + step].astype(dtype, copy=False))
