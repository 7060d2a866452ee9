"""Our logits of whole texts, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact import Artifact, load_program
from foreknown.checkpoint import open_checkpoint
from foreknown.graph.batch import single


def our_logits(
    artifact: Artifact, sequences: Sequence[Sequence[int]], n_threads: int
) -> Iterator[NDArray[np.float32]]:
    """f32[n, vocabulary] of each sequence."""
    with load_program(artifact, n_threads=n_threads).program as program:
        chunk = min(program.max_tokens, program.max_rows)
        for tokens in sequences:
            starts = range(0, len(tokens), chunk)
            pieces = (single(list(tokens[start : start + chunk]), start) for start in starts)
            yield np.concatenate([program.step(piece).copy() for piece in pieces])


def matrix_bytes(artifact: Artifact, names: Sequence[str]) -> int:
    """Stored size of every constant that is made of one of the named matrices."""
    constants = artifact.plan()["constants"]
    return sum(c["bytes"] for c in constants if any(name in c["value"] for name in names))


def matrices(checkpoint: Path) -> dict[str, int]:
    """How many weights each matrix of a checkpoint has."""
    tensors = open_checkpoint(checkpoint).tensors
    assert tensors is not None
    shapes = {name: entry.shape for name, entry in tensors.items()}
    return {name: int(np.prod(shape)) for name, shape in shapes.items() if len(shape) > 1}
