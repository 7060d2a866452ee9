"""Fields of tables: each is there, of its type, and known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from foreknown.machine.reading import Wrong, read_fields, shown


@dataclass(frozen=True)
class Thing:
    name: str
    count: int
    share: float
    sizes: tuple[int, ...]
    speeds: tuple[tuple[int, float], ...] = ()
    is_big: bool = False


WHOLE: dict[str, Any] = {"name": "a", "count": 3, "share": 0.5, "sizes": [1, 2]}


def test_a_whole_table() -> None:
    assert read_fields(Thing, WHOLE) == Thing("a", 3, 0.5, (1, 2))
    given = {**WHOLE, "count": 3.0, "share": 1, "speeds": [[1, 2]], "is_big": True}
    read = read_fields(Thing, given)
    assert read == Thing("a", 3, 1.0, (1, 2), ((1, 2.0),), True)
    assert [type(read.count), type(read.share)] == [int, float]
    assert read_fields(Thing, {k: v for k, v in WHOLE.items() if k != "name"}, name="b").name == "b"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": 5}, "name of things 2 is 5, where text is expected"),
        ({"count": True}, "count of things 2 is true, where a whole number is expected"),
        ({"count": 0.5}, "count of things 2 is 0.5, where a whole number"),
        ({"count": float("inf")}, "count of things 2 is inf, where a whole number"),
        ({"count": 10**400}, "where a whole number"),
        ({"share": 10**400}, "where a number is expected"),
        ({"share": "0.5"}, "share of things 2 is '0.5', where a number is expected"),
        ({"sizes": 5}, "sizes of things 2 is 5, where a list of whole numbers is expected"),
        ({"sizes": "12"}, "where a list of whole numbers"),
        ({"sizes": [1, "a"]}, "where a list of whole numbers"),
        ({"speeds": [[1, 2.0, 3.0]]}, "where a list of pairs"),
        ({"speeds": [[float("inf"), 2.0]]}, "where a list of pairs"),
        ({"is_big": 1}, "is_big of things 2 is 1, where true or false is expected"),
        ({"extra": 1}, "extra of things 2 is unknown: known are name, count, share, sizes"),
        ({"\x1b[31m": 1}, r"'\\x1b\[31m' of things 2 is unknown"),
    ],
)
def test_what_is_wrong_is_named(more: dict[str, Any], message: str) -> None:
    with pytest.raises(Wrong, match=message) as refused:
        read_fields(Thing, {**WHOLE, **more}, "things 2")
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(Wrong, match=f"^{name} is missing, where "):
        read_fields(Thing, {k: v for k, v in WHOLE.items() if k != name})


def test_values_are_shown_shortened() -> None:
    assert shown(False) == "false"
    assert shown("a" * 100) == f"'{'a' * 36}..."
