"""A checkpoint without a training stack: a decoder built by hand, its weights in one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foreknown.artifact import build
from foreknown.artifact.format import Artifact
from foreknown.checkpoint import open_checkpoint
from foreknown.graph.ir import Graph
from tests.decoders import decoder
from tests.executors import Array, Memory, random_weights

GRAPH = decoder("am", stored="bf16", context=64, name="by hand")


@dataclass(frozen=True)
class ByHand:
    """What `capture` returns."""

    graph: Graph
    weights: Any
    context: int
    vocab_size: int


class FromFile:
    """Weights of a checkpoint's own file."""

    def __init__(self, directory: Path) -> None:
        self.tensors = open_checkpoint(directory).tensors

    def read(self, name: str) -> Array:
        assert self.tensors is not None
        return self.tensors.read(name).array


def write_checkpoint(directory: Path, graph: Graph = GRAPH, seed: int = 0) -> Path:
    """A directory with a configuration and a graph's weights, as `safetensors` lays them out."""
    directory.mkdir()
    vocab_size = graph.outputs["logits"].row_size
    config = {"model_type": "none", "vocab_size": vocab_size, "max_position_embeddings": 512}
    (directory / "config.json").write_text(json.dumps(config))
    weights = random_weights(graph, seed)
    memory = Memory(graph, weights)
    header: dict[str, Any] = {}
    pieces = []
    at = 0
    for name in sorted(weights):
        value = np.ascontiguousarray(memory.read(name))
        dtype = {"uint16": "BF16", "float32": "F32"}[value.dtype.name]
        span = [at, at + value.nbytes]
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": span}
        at += value.nbytes
        pieces.append(value.tobytes())
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    data = len(text).to_bytes(8, "little") + text + b"".join(pieces)
    (directory / "model.safetensors").write_bytes(data)
    return directory


def capture_by_hand(monkeypatch: pytest.MonkeyPatch, graph: Graph, context: int) -> None:
    """Have every checkpoint captured as this graph, without torch."""

    def capture(source: Path, options: build.Options, limit: int | None) -> ByHand:
        chosen = min(options.context or context, context)
        return ByHand(graph, FromFile(source), chosen, graph.outputs["logits"].row_size)

    monkeypatch.setattr(build, "_capture", capture)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint that `compile_checkpoint` takes, captured without torch."""
    capture_by_hand(monkeypatch, GRAPH, 64)
    return write_checkpoint(tmp_path / "checkpoint")


Compile = Callable[..., Artifact]


@pytest.fixture
def compile_it(checkpoint: Path, tmp_path: Path) -> Compile:
    """Compiles the checkpoint into tmp_path/artifact."""

    def run(destination: Path = tmp_path / "artifact", **options: Any) -> Artifact:
        return build.compile_checkpoint(checkpoint, destination, build.Options(**options))

    return run


@pytest.fixture
def artifact(compile_it: Compile) -> Artifact:
    return compile_it()
