"""A checkpoint becomes a graph: the model's own code, traced, and every operation given a meaning.

The only folder that imports torch and transformers. It names no model: what it supports is what
operations it can lower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from foreknown.capture import experts as _experts  # noqa: F401  (registers its function)
from foreknown.capture.attention import IMPLEMENTATION
from foreknown.capture.building import build_model, read_model_config
from foreknown.capture.export import export
from foreknown.capture.hidden import hidden_states
from foreknown.capture.layers import Layers, find_repeats
from foreknown.capture.lower import lower
from foreknown.capture.lower.layout import Tokens, reshape
from foreknown.capture.weights import WeightSource, open_weights
from foreknown.checkpoint import Checkpoint, open_checkpoint
from foreknown.errors import CaptureError, ForeknownError, UnsupportedOp
from foreknown.graph.ir import Graph, Node, make

DEFAULT_CONTEXT = 4096

__all__ = ["Captured", "Outline", "WeightSource", "capture", "capture_outline"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Captured:
    """A model as a graph, and where its weights come from.

    Attributes:
        graph: outputs "logits", f32[R, vocabulary], and "hidden", f32[R, hidden_size]: the rows
            that the head reads. There is no "hidden" where the logits are not one product's.
        weights: values of the graph's `weight` nodes by name.
        context: positions that the graph's tables cover, in tokens.
        vocab_size: ids that may be given, from 0.
    """

    graph: Graph
    weights: WeightSource
    context: int
    vocab_size: int


def capture(
    directory: str | Path, *, context: int | None = None, trust_code: bool = False
) -> Captured:
    """The graph of a checkpoint; a configuration without weights is enough.

    Args:
        directory: a Hugging Face directory.
        context: positions to provide for; the checkpoint's own limit if not given.
        trust_code: run the model code that the checkpoint brings, if it brings any.

    Raises:
        CheckpointError: files are missing, damaged or contradict each other.
        CaptureError: the model's code cannot be built or traced.
        UnsupportedOp: an operation has no meaning in the graph; names it and its source line.
    """
    checkpoint = open_checkpoint(directory)
    return _by_either(lambda attention: _capture(checkpoint, context, trust_code, attention))


class Outline:
    """A deep model whose layers repeat, captured with only some of its periods of layers.

    Args:
        whole: periods that it has.
        trace: captures the model with so many of them.
        first: the model with one.
    """

    def __init__(self, whole: int, trace: Callable[[int], Captured], first: Captured) -> None:
        self.whole = whole
        self._trace = trace
        self._made = {1: first}

    def captured(self, periods: int) -> Captured:
        """The model with so many periods; same errors as `capture`."""
        if periods not in self._made:
            try:
                self._made[periods] = self._trace(periods)
            except _NotTraced as error:
                raise error.error from error
        return self._made[periods]


def capture_outline(
    directory: str | Path, *, context: int | None = None, trust_code: bool = False
) -> Outline | None:
    """A deep model with its identical layers captured once; None if its layers do not repeat.

    Same arguments and errors as `capture`.
    """
    checkpoint = open_checkpoint(directory)
    return _by_either(lambda attention: _outline(checkpoint, context, trust_code, attention))


def _by_either(run: Callable[[str], Result]) -> Result:
    """What comes of one attention function, or of the other where the first cannot be traced."""
    first: ForeknownError | None = None
    for attention in (IMPLEMENTATION, "eager"):
        try:
            return run(attention)
        except _NotTraced as error:
            # Code that does not know the interface may still write its attention out.
            unknown = first is not None and f"'{IMPLEMENTATION}'" in first.what
            first = error.error if first is None or unknown else first
    assert first is not None
    raise first


class _NotTraced(Exception):
    """The model could not be built or traced with one attention function."""

    def __init__(self, error: ForeknownError) -> None:
        super().__init__(str(error))
        self.error = error


def _capture(
    checkpoint: Checkpoint, context: int | None, trust_code: bool, attention: str
) -> Captured:
    model, weights = _built(checkpoint, trust_code, attention)
    return _traced(model, weights, _positions(checkpoint, context))


def _outline(
    checkpoint: Checkpoint, context: int | None, trust_code: bool, attention: str
) -> Outline | None:
    model, weights = _built(checkpoint, trust_code, attention)
    repeats = find_repeats(model, weights.origin)
    if repeats is None:
        return None
    layers, positions = Layers(model, repeats), _positions(checkpoint, context)

    def trace(periods: int) -> Captured:
        layers.keep(periods)
        return _traced(model, weights, positions)

    return Outline(repeats.periods, trace, trace(1))


def _positions(checkpoint: Checkpoint, context: int | None) -> int:
    limit = checkpoint.config.max_position_embeddings or DEFAULT_CONTEXT
    return min(limit, context) if context else limit


def _built(
    checkpoint: Checkpoint, trust_code: bool, attention: str
) -> tuple[PreTrainedModel, WeightSource]:
    config = read_model_config(checkpoint.directory, trust_code)
    try:
        model = build_model(config, checkpoint.directory, trust_code, attention)
    except (CaptureError, UnsupportedOp) as error:
        raise _NotTraced(error) from error
    default = str(checkpoint.config.lookup("dtype", "torch_dtype") or "float32")
    weights = open_weights(
        model,
        checkpoint.tensors,
        {"bfloat16": "bf16", "float16": "f16"}.get(default.removeprefix("torch."), "f32"),
    )
    return model, weights


def _traced(model: PreTrainedModel, weights: WeightSource, context: int) -> Captured:
    try:
        program = export(model, context)
    except (CaptureError, UnsupportedOp) as error:
        raise _NotTraced(error) from error
    used: list[str] = []

    def weight(name: str, value: torch.Tensor) -> Node | None:
        name = weights.name(name.removeprefix("model."))
        if not value.is_floating_point():
            return None
        used.append(name)
        if weights.on_disk and not weights.has(name):
            weights.check([name])
        shape = tuple(value.shape)
        return make("weight", name=name, shape=shape, stored=weights.stored(name))

    logits = lower(program, weight, context)
    weights.check(sorted(set(used)))
    batch, tokens, vocabulary = logits.sizes
    if batch != 1 or tokens != Tokens(1) or not isinstance(vocabulary, int):
        raise UnsupportedOp(f"logits of {logits.sizes}")
    rows = reshape(logits, [Tokens(1), vocabulary])
    results = {"logits": rows.node, "hidden": hidden_states(rows.node)}
    selected = {n: make("select_rows", v, make("rows")) for n, v in results.items() if v}
    graph = Graph("step", selected)
    return Captured(graph, weights, context, _vocab_size(graph, vocabulary))


def _vocab_size(graph: Graph, vocabulary: int) -> int:
    """The rows of the table that token ids are looked up in."""
    tables = [n.args[0] for n in graph.nodes if n.op == "take" and n.args[1].op == "tokens"]
    return min((d for t in tables for d in t.shape[:1] if isinstance(d, int)), default=vocabulary)
