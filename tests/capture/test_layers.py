"""Layers that are built alike are found, whatever they are, and can be left out."""

from __future__ import annotations

import random
from typing import Any

import pytest
from torch import nn

from foreknown.capture.layers import Layers, find_repeats

KINDS = {"a": (4, 4), "b": (4, 6), "c": (2, 4), "d": (8, 4)}


class Layer(nn.Module):
    """Some layer, that knows its place."""

    def __init__(self, kind: str, index: int, **settings: Any) -> None:
        super().__init__()
        self.inner = nn.Linear(*KINDS[kind], bias=False)
        self.layer_idx = index
        self.inner.place = index + 3
        for name, value in settings.items():
            setattr(self, name, value)


class Deep(nn.Module):
    """A model with layers of kinds, and a list beside them that is shorter."""

    def __init__(self, kinds: str, **settings: Any) -> None:
        super().__init__()
        layers = [Layer(kind, i, **settings) for i, kind in enumerate(kinds)]
        self.body = nn.ModuleDict({"layers": nn.ModuleList(layers)})
        self.heads = nn.ModuleList([nn.Linear(4, 4)])


def origin(name: str) -> str:
    return "f32"


def found(kinds: str) -> tuple[int, int, int] | None:
    repeats = find_repeats(Deep(kinds), origin)
    return None if repeats is None else (repeats.first, repeats.period, repeats.rest)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("a" * 20, (1, 1, 0)),
        ("cc" + "a" * 18, (2, 1, 0)),
        ("aab" * 10, (1, 3, 2)),
        ("d" + "aab" * 10, (1, 3, 0)),
        ("a" * 4, None),  # no work is saved
        ("a" * 19 + "b", None),  # the last one is another
    ],
)
def test_periods(kinds: str, expected: tuple[int, int, int] | None) -> None:
    assert found(kinds) == expected


def test_what_is_found_gives_the_layers_again() -> None:
    chosen = random.Random()
    for _ in range(30):
        period = "".join(chosen.choices("abcd", k=chosen.randint(1, 4)))
        head = "".join(chosen.choices("abcd", k=chosen.randint(0, 3)))
        kinds = (head + period * 12)[: chosen.randint(24, 40)]
        repeats = find_repeats(Deep(kinds), origin)
        if repeats is None:
            continue
        first, once = kinds[: repeats.first], kinds[repeats.first :][: repeats.period]
        assert first + once * repeats.periods + once[: repeats.rest] == kinds
        assert repeats.kept(repeats.periods) == len(kinds) == repeats.depth


def test_a_place_is_no_difference_but_another_setting_is() -> None:
    model = Deep("a" * 12)
    assert find_repeats(model, origin) is not None
    model.body["layers"][7].window = 128  # type: ignore[index]
    assert find_repeats(model, origin) is None


def test_a_configuration_tells_layers_apart() -> None:
    class Config:
        def __init__(self, types: list[str]) -> None:
            self.types = types

        def get_text_config(self) -> Config:
            return self

    model = Deep("a" * 30)
    model.config = Config(["long", "short", "short"] * 10)  # type: ignore[assignment]
    repeats = find_repeats(model, origin)
    assert repeats is not None
    assert repeats.period == 3


def test_how_parameters_are_stored_tells_layers_apart() -> None:
    model = Deep("a" * 12)
    assert find_repeats(model, lambda name: "bf16" if ".11." in name else "f32") is None


def test_layers_are_left_out_and_put_back() -> None:
    model = Deep("d" + "ab" * 10)
    whole = list(model.body["layers"])  # type: ignore[call-overload]
    repeats = find_repeats(model, origin)
    assert repeats is not None
    layers = Layers(model, repeats)
    for periods in (1, 3, 2, repeats.periods):
        layers.keep(periods)
        kept = list(model.body["layers"])  # type: ignore[call-overload]
        assert kept == whole[: 1 + 2 * periods]
    assert len(model.heads) == 1
