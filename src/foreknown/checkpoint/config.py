"""Reads config.json: what a checkpoint says about itself.

Knows nothing of model families: the few numbers that Foreknown itself needs are looked up under
every name they go by, all else is passed on in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from foreknown.checkpoint.files import read_json_object
from foreknown.errors import CheckpointError

CONFIG_FILE = "config.json"

# A model of several modes keeps its decoder's numbers one level down.
_NESTED = ("text_config", "llm_config", "language_config", "decoder")
_CONTEXT_NAMES = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_seq_length",
    "seq_length",
    "max_sequence_length",
    "seq_len",
    "model_max_length",
    "context_length",
)
_VOCABULARY_NAMES = ("vocab_size", "n_vocab", "padded_vocab_size")
_DEPTH_NAMES = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")


@dataclass(frozen=True)
class CheckpointConfig:
    """config.json.

    `max_position_embeddings` is the context length in tokens, None if the file names none.
    `has_custom_code` says that the checkpoint brings its own model code, which is not run unless
    the user allows it.
    """

    raw: Mapping[str, Any]
    path: Path
    model_type: str
    vocab_size: int | None
    max_position_embeddings: int | None
    has_custom_code: bool

    def lookup(self, *names: str) -> Any:
        """The first of `names` that has a value, at the top or in the nested text configuration."""
        return _lookup(self.raw, names)


def read_config(directory: Path) -> CheckpointConfig:
    """The configuration in a checkpoint's directory.

    Raises:
        CheckpointError: config.json is missing, too large, not a JSON object, has no model_type,
            or gives a size that is not a positive whole number.
    """
    path = directory / CONFIG_FILE
    raw = read_json_object(path)
    model_type = _lookup(raw, ("model_type",))
    if not isinstance(model_type, str) or not model_type:
        raise CheckpointError(
            "config.json has no model_type",
            where=str(path),
            remedy="use the config.json that was saved with the model",
        )
    _size(raw, _DEPTH_NAMES, path, unbounded=False)
    return CheckpointConfig(
        raw=MappingProxyType(raw),
        path=path,
        model_type=model_type,
        vocab_size=_size(raw, _VOCABULARY_NAMES, path),
        max_position_embeddings=_size(raw, _CONTEXT_NAMES, path),
        has_custom_code="auto_map" in raw or any(directory.glob("modeling_*.py")),
    )


def _lookup(raw: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    places = [raw, *(raw[key] for key in _NESTED if isinstance(raw.get(key), dict))]
    for place in places:
        for name in names:
            if place.get(name) is not None:
                return place[name]
    return None


def _size(
    raw: Mapping[str, Any], names: tuple[str, ...], path: Path, *, unbounded: bool = True
) -> int | None:
    value = _lookup(raw, names)
    # Some files say "no bound" with a float or with -1.
    if value is None or (unbounded and value == -1):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        name = next(name for name in names if _lookup(raw, (name,)) is not None)
        raise CheckpointError(
            f"{name} is {value!r}, not a positive whole number",
            where=str(path),
            remedy="correct config.json",
        )
    return value
