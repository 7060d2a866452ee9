"""Where each parameter's values come from: transformers' own renaming and conversion rules, lazily.

A checkpoint may store a parameter under an older name, or in parts (an expert a tensor). The plan
of what becomes what is made by transformers' rules run on names and shapes alone; a parameter's
tensors are read, joined and turned only when it is asked for, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
)

from foreknown.capture.building import quiet
from foreknown.checkpoint import TensorStore
from foreknown.errors import CheckpointError

_STORED = {"F32": "f32", "BF16": "bf16", "F16": "f16", "F64": "f32"}
_TORCH = {
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_SAVE_AGAIN = "save the checkpoint again in float32 or bfloat16 with transformers"


@dataclass(frozen=True)
class _Source:
    """What makes one or more parameters: a rule of transformers, and the tensors it takes."""

    rule: Any  # WeightConverter or WeightRenaming
    target: str
    tensors: tuple[tuple[str, str], ...]  # (pattern, name in the checkpoint)


@dataclass(frozen=True)
class WeightSource:
    """The values of a model's parameters, read one at a time.

    Attributes:
        shapes: of every parameter and persistent buffer, by its name in the model.
        unused: tensors of the checkpoint that no parameter takes.
    """

    shapes: Mapping[str, tuple[int, ...]]
    unused: tuple[str, ...] = ()
    _aliases: Mapping[str, str] = field(default_factory=dict, repr=False)
    _sources: Mapping[str, _Source] = field(default_factory=dict, repr=False)
    _store: TensorStore | None = field(default=None, repr=False)
    _model: PreTrainedModel | None = field(default=None, repr=False)
    _default: str = "f32"

    @property
    def on_disk(self) -> bool:
        """Whether there are weights, or only a configuration."""
        return self._store is not None

    def name(self, name: str) -> str:
        """The one name of a parameter that may be tied to others."""
        return self._aliases.get(name, name)

    def has(self, name: str) -> bool:
        """Whether the checkpoint holds the parameter."""
        return self.name(name) in self._sources

    def origin(self, name: str) -> str:
        """How a parameter comes about, to tell it from another's: tied, stored as what, or not."""
        if self.name(name) != name:
            return "tied"
        return self.stored(name) if not self.on_disk or self.has(name) else "missing"

    def stored(self, name: str) -> str:
        """How the checkpoint stores a parameter: f32, bf16 or f16.

        Raises:
            CheckpointError: it is stored as something else.
        """
        if self._store is None:
            return self._default
        source = self._source(name)
        kinds = {self._store[tensor].dtype for _, tensor in source.tensors}
        for dtype in sorted(kinds - set(_STORED)):
            tensor = next(t for _, t in source.tensors if self._store[t].dtype == dtype)
            raise CheckpointError(
                f"tensor {tensor!r} is stored as {dtype}, where a float is expected",
                where=str(self._store[tensor].file),
                remedy=_SAVE_AGAIN,
            )
        names = {_STORED[k] for k in kinds}
        return names.pop() if len(names) == 1 else "f32"

    def read(self, name: str) -> NDArray[Any]:
        """The values of a parameter: f32, or the bits of bf16 as uint16 where it is stored so.

        Raises:
            CheckpointError: the checkpoint has no weights, or not this one, or of another shape.
        """
        if self._store is None:
            raise CheckpointError(
                f"the values of {name!r} are wanted, but there are no weights",
                remedy="give a directory that holds the weights beside config.json",
            )
        source = self._source(name)
        try:
            values = self._convert(source, {t: _tensor(self._store, t) for _, t in source.tensors})
            value = values[self.name(name)].clone()  # of its own: the mapped pages are let go
        finally:
            for _, tensor in source.tensors:
                self._store.release(tensor)
        self._check(name, tuple(value.shape), source)
        if self.stored(name) == "bf16":
            return value.contiguous().view(torch.uint16).numpy()
        return value.to(torch.float32).contiguous().numpy()

    def check(self, names: list[str]) -> None:
        """That all these parameters are there and of the right shape; no weight is read.

        Raises:
            CheckpointError: the first few that are not.
        """
        if self._store is None:
            return
        missing = [n for n in names if not self.has(n)]
        if missing:
            shown = ", ".join(repr(n) for n in missing[:4])
            more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
            unused = f"; unused are {', '.join(map(repr, self.unused[:4]))}" if self.unused else ""
            raise CheckpointError(
                f"the weights lack {shown}{more}, which config.json calls for{unused}",
                where=str(self._store.directory),
                remedy="use the config.json and the weights of one and the same checkpoint",
            )
        for name in names:
            source = self._source(name)
            empty = {t: _outline(self._store, t) for _, t in source.tensors}
            self._check(name, tuple(self._convert(source, empty)[self.name(name)].shape), source)

    def _source(self, name: str) -> _Source:
        source = self._sources.get(self.name(name))
        if source is None:
            self.check([name])
            raise CheckpointError(f"the weights lack {name!r}")
        return source

    def _convert(
        self, source: _Source, tensors: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        return convert(source, tensors, self._model)

    def _check(self, name: str, shape: tuple[int, ...], source: _Source) -> None:
        expected = self.shapes[self.name(name)]
        if shape == expected:
            return
        assert self._store is not None
        tensor = source.tensors[0][1]
        plain = len(source.tensors) == 1
        what = (
            f"tensor {tensor!r} has the shape {list(shape)}"
            if plain
            else f"{name!r}, made of {tensor!r} and {len(source.tensors) - 1} more, "
            f"has the shape {list(shape)}"
        )
        raise CheckpointError(
            f"{what}, but config.json calls for {list(expected)}",
            where=str(self._store[tensor].file),
            remedy="use the config.json and the weights of one and the same checkpoint",
        )


def convert(
    source: _Source, tensors: Mapping[str, torch.Tensor], model: PreTrainedModel | None
) -> dict[str, torch.Tensor]:
    """Run a rule of transformers on tensors."""
    rule = deepcopy(source.rule)
    for pattern, name in source.tensors:
        value = tensors[name]
        rule.add_tensor(source.target, name, pattern, lambda value=value: value)
    with quiet(), torch.no_grad():
        result = rule.convert(source.target, model=model, config=getattr(model, "config", None))
    return {k: v[0] if isinstance(v, list) else v for k, v in result.items()}


def _tensor(store: TensorStore, name: str) -> torch.Tensor:
    stored = store.read(name)
    array = stored.array
    if stored.dtype not in _TORCH:
        raise CheckpointError(
            f"tensor {name!r} is stored as {stored.dtype}, where a float is expected",
            where=str(store[name].file),
            remedy=_SAVE_AGAIN,
        )
    if array.size == 0:
        return torch.empty(array.shape, dtype=_TORCH[stored.dtype])
    # torch has no read-only tensors; nothing here writes, and the mapping would refuse it.
    with quiet():
        return torch.frombuffer(memoryview(array.data).cast("B"), dtype=_TORCH[stored.dtype]).view(
            array.shape
        )


def _outline(store: TensorStore, name: str) -> torch.Tensor:
    entry = store[name]
    dtype = _TORCH.get(entry.dtype, torch.uint8)
    return torch.empty(entry.shape, dtype=dtype, device="meta")


def open_weights(
    model: PreTrainedModel, store: TensorStore | None, default: str = "f32"
) -> WeightSource:
    """How a checkpoint's tensors become a model's parameters.

    Args:
        store: the tensors; None where there is only a configuration.
        default: the dtype that parameters without weights are said to be stored in.
    """
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    aliases = _tied(model)
    if store is None:
        return WeightSource(shapes, _aliases=aliases, _default=default)
    sources, unused = _plan(model, store, shapes)
    for name, first in aliases.items():  # any of the names will do
        if first not in sources and name in sources:
            source = sources[name]
            sources[first] = _Source(_renamed(source, name, first), first, source.tensors)
    return WeightSource(shapes, tuple(unused), aliases, sources, store, model)


def _renamed(source: _Source, name: str, first: str) -> Any:
    if isinstance(source.rule, WeightRenaming) and len(source.tensors) == 1:
        return WeightRenaming(source.tensors[0][0], first)
    raise CheckpointError(
        f"{first!r} is tied to {name!r}, which is stored in parts", remedy=_SAVE_AGAIN
    )


def _tied(model: PreTrainedModel) -> dict[str, str]:
    """For each name of a tied parameter, the first name it has."""
    first: dict[int, str] = {}
    aliases: dict[str, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        if known != name:
            aliases[name] = known
    return aliases


def _plan(
    model: PreTrainedModel, store: TensorStore, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, _Source], list[str]]:
    rules = get_model_conversion_mapping(model)
    renamings = [r for r in rules if isinstance(r, WeightRenaming)]
    converters = [r for r in rules if isinstance(r, WeightConverter)]
    by_pattern = {p: c for c in converters for p in c.source_patterns}
    prefix = model.base_model_prefix
    found: dict[str, tuple[Any, list[tuple[str, str]]]] = {}
    unused: list[str] = []
    for name in sorted(store, key=dot_natural_key):
        target, pattern = rename_source_key(name, renamings, converters, prefix, dict(shapes))
        if target not in shapes and name in shapes:
            target, pattern = rename_source_key(
                name, [], [], base_model_prefix=prefix, meta_state_dict=dict(shapes)
            )
        if target not in shapes:
            unused.append(name)
            continue
        if pattern is None:
            rule: Any = WeightRenaming(name, target)
            pattern = name
        else:
            rule = by_pattern[pattern]
        found.setdefault(target, (rule, []))[1].append((pattern, name))
    sources: dict[str, _Source] = {}
    for target, (rule, tensors) in found.items():
        source = _Source(rule, target, tuple(tensors))
        if isinstance(rule, WeightConverter):
            for made in convert(source, {t: _outline(store, t) for _, t in tensors}, model):
                sources[made] = source
        else:
            sources[target] = source
    return sources, unused
