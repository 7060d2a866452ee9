"""Index arithmetic: what is simplified is still the same number, and nothing is left that need
not be."""

from __future__ import annotations

import itertools
from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.targets.cpu.index import Index, flatten, number, unflatten, variable

SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=4)


def value(index: Index, names: dict[str, int]) -> int:
    """The number that the C expression gives; C's division of numbers that are not negative."""
    return int(eval(str(index).replace("/", "//"), {}, names))


def loops(shape: list[int]) -> list[Index]:
    return [variable(f"i{a}", 0, extent - 1) for a, extent in enumerate(shape)]


def every(shape: list[int]) -> list[dict[str, int]]:
    points = itertools.product(*(range(extent) for extent in shape))
    return [{f"i{a}": i for a, i in enumerate(point)} for point in points]


@settings(max_examples=200, deadline=None)
@given(SHAPES, st.lists(st.integers(0, 9), min_size=4, max_size=4), st.integers(0, 20), st.data())
def test_division_is_division(
    shape: list[int], factors: list[int], constant: int, data: st.DataObject
) -> None:
    divisor = data.draw(st.integers(1, 24))
    index = number(constant)
    for loop, factor in zip(loops(shape), factors, strict=False):
        index = index + loop * factor
    for names in every(shape)[:200]:
        true = constant + sum(
            names[f"i{a}"] * f for a, f in zip(range(len(shape)), factors, strict=False)
        )
        assert value(index, names) == true
        assert index.low <= true <= index.high
        assert value(index // divisor, names) == true // divisor
        assert value(index % divisor, names) == true % divisor


@settings(max_examples=200, deadline=None)
@given(SHAPES)
def test_any_reshape_finds_its_element(shape: list[int]) -> None:
    """Through the flat position and into every other shape of as many elements."""
    size = prod(shape)
    flat = flatten(loops(shape), shape)
    others = [
        [size],
        shape[::-1],
        *([n, size // n] for n in range(1, size + 1) if size % n == 0),
    ]
    for other in others[:8]:
        element = unflatten(flat, other)
        for names in every(shape)[:100]:
            place = [value(i, names) for i in element]
            assert all(0 <= p < n for p, n in zip(place, other, strict=True))
            position = 0
            for p, n in zip(place, other, strict=True):
                position = position * n + p
            assert position == value(flat, names)


def test_what_divides_evenly_leaves_no_division() -> None:
    i, j = variable("i", 0, 63), variable("j", 0, 31)
    flat = i * 32 + j
    assert str(flat // 32) == "i"
    assert str(flat % 32) == "j"
    assert [str(e) for e in unflatten(flat, (64, 32))] == ["i", "j"]
    assert not any(e.divides for e in unflatten(flat, (8, 8, 32))[2:])


def test_an_extent_of_one_is_no_variable() -> None:
    assert str(variable("i", 0, 0)) == "0"
    assert str(flatten((variable("i", 0, 0), variable("j", 0, 4)), (1, 5))) == "j"
