"""Finds the layers of a model that are built alike, and leaves most of them out.

A deep model repeats itself: one layer over and over, or a few in turn. Of what is built alike one
period is enough for everything but the values. Nothing here knows what a layer is: a list of
modules is looked at item by item, each told by the classes, shapes and plain settings in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Module, ModuleList

_PLAIN = (bool, int, float, str, type(None), torch.dtype)

WORTH = 2 / 3
"""Layers captured in vain if the shorter models turn out to tell nothing, of all there are."""

Origin = Callable[[str], str]


@dataclass(frozen=True)
class Repeats:
    """How a model's layers repeat: `first` of their own, then periods, then the last one's part.

    Attributes:
        lists: names of the lists of modules that have one item for each layer.
        depth: layers.
        first: layers before the first period, at least one.
        period: layers after which the next are built as these were.
    """

    lists: tuple[str, ...]
    depth: int
    first: int
    period: int

    @property
    def rest(self) -> int:
        """Layers after the last whole period."""
        return (self.depth - self.first) % self.period

    @property
    def periods(self) -> int:
        """Whole periods."""
        return (self.depth - self.first) // self.period

    def kept(self, periods: int) -> int:
        """Layers of the model that has only so many periods."""
        return self.first + periods * self.period + self.rest


def find_repeats(model: Module, origin: Origin) -> Repeats | None:
    """How a model's layers repeat; None if capturing it whole is no more work.

    Args:
        origin: how the parameter of a name comes about, which may differ between layers.
    """
    lists = _outermost_lists(model)
    if not lists:
        return None
    depth = max(map(len, lists.values()))
    deep = {name: items for name, items in lists.items() if len(items) == depth}
    columns = [_kinds(name, items, origin) for name, items in deep.items()]
    columns += _settings(getattr(model, "config", None), depth)
    kinds = list(zip(*columns, strict=True))
    found = [
        Repeats(tuple(deep), depth, first, period)
        for period in range(1, depth // 3 + 1)
        for first in [_first(kinds, period)]
    ]
    worthwhile = [r for r in found if r.periods > 2 and r.kept(1) + r.kept(2) <= WORTH * depth]
    return min(worthwhile, key=lambda r: r.kept(2), default=None)


class Layers:
    """A model's lists of layers, of which some can be left out and put back."""

    def __init__(self, model: Module, repeats: Repeats) -> None:
        self._model, self._repeats = model, repeats
        self._whole = {name: list(model.get_submodule(name).children()) for name in repeats.lists}

    def keep(self, periods: int) -> None:
        """Have the model end after so many periods and the rest; layers keep their places."""
        for name, layers in self._whole.items():
            parent, _, attribute = name.rpartition(".")
            kept = ModuleList(layers[: self._repeats.kept(periods)])
            setattr(self._model.get_submodule(parent), attribute, kept)


def _outermost_lists(model: Module) -> dict[str, ModuleList]:
    """Every list of modules that is in no other list, by name."""
    found: dict[str, ModuleList] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, ModuleList) and not inside:
            found[name] = module
    return found


def _first(kinds: list[Any], period: int) -> int:
    """The first layer, but not before the second, from which layers repeat to the end."""
    first = len(kinds) - period
    while first > 1 and kinds[first - 1] == kinds[first - 1 + period]:
        first -= 1
    return first


def _kinds(name: str, layers: ModuleList, origin: Origin) -> list[Any]:
    """For each layer all that is known of it but its place."""
    found = [_described(f"{name}.{i}", layer, origin) for i, layer in enumerate(layers)]
    offsets: dict[str, list[Any]] = {}
    for index, facts in enumerate(found):
        for key, value in facts.items():
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            offsets.setdefault(key, []).append(value - index if is_whole else None)
    counted = {k for k, seen in offsets.items() if len(seen) > 1 and seen[0] is not None}
    counted = {key for key in counted if len(set(offsets[key])) == 1}
    return [{k: v for k, v in facts.items() if k not in counted} for facts in found]


def _described(name: str, layer: Module, origin: Origin) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for path, module in layer.named_modules():
        facts[path] = type(module)
        tensors = {**module._parameters, **module._buffers}
        for key, tensor in tensors.items():
            full = ".".join(part for part in (name, path, key) if part)
            facts[f"{path}:{key}"] = tensor is not None and (*tensor.shape, tensor.dtype)
            if key in module._parameters:
                facts[f"{path}:{key} origin"] = origin(full)
        for key, value in vars(module).items():
            if not key.startswith("_"):
                facts[f"{path}.{key}"] = _plain(value)
    return facts


def _plain(value: Any) -> Any:
    """A setting as it can be compared; of anything but plain values only what it is."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    return getattr(value, "__qualname__", type(value))


def _settings(config: Any, depth: int) -> list[list[Any]]:
    """What a configuration says of each layer: its lists of as many items."""
    if config is None:
        return []
    texts = [config, config.get_text_config()]
    values = [value for text in texts for value in vars(text).values()]
    return [
        list(map(_plain, v)) for v in values if isinstance(v, (list, tuple)) and len(v) == depth
    ]
