"""The most that fits, and how seldom it asks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foreknown.engine.largest import largest


@given(least=st.integers(0, 100), room=st.integers(0, 1 << 20), limit=st.integers(-5, 1 << 21))
def test_the_largest_that_fits(least: int, room: int, limit: int) -> None:
    most, asked = least + room, list[int]()

    def fits(number: int) -> bool:
        asked.append(number)
        return number <= limit

    assert largest(least, most, fits) == max(least, min(most, limit))
    assert len(asked) == len(set(asked)) <= room.bit_length() + 1
    assert least not in asked
    assert asked[:1] == [most][: room > 0]
    if limit >= most:
        assert len(asked) <= 1
