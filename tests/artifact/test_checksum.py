"""The checksum of weights: any damage shows, however many threads look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.targets.cpu import tools
from foreknown.targets.cpu.tools import checksum, library


def of(data: bytes | bytearray, n_threads: int = 2) -> int:
    return checksum(np.frombuffer(bytes(data), np.uint8), library(), n_threads)


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=400), st.integers(0, 10**6), st.integers(0, 7))
def test_a_flipped_bit_anywhere_changes_it(data: bytes, where: int, bit: int) -> None:
    damaged = bytearray(data)
    damaged[where % len(data)] ^= 1 << bit
    assert of(damaged) != of(data)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.binary(min_size=1, max_size=80))
def test_more_bytes_change_it_even_if_they_are_zeros(data: bytes, more: bytes) -> None:
    assert of(data + more) != of(data)
    assert of(data + bytes(len(more))) != of(data)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=64, max_size=256), st.integers(0, 3), st.integers(0, 3))
def test_exchanged_lines_change_it(data: bytes, i: int, j: int) -> None:
    lines = [data[k : k + 16] for k in range(0, 64, 16)]
    swapped = list(lines)
    swapped[i], swapped[j] = swapped[j], swapped[i]
    if swapped != lines:
        assert of(b"".join(swapped) + data[64:]) != of(data)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "CHECKSUM_PIECE", 192)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [0, 1, 191, 192, 193, 5000])
def test_it_does_not_depend_on_the_number_of_threads(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    found = {of(data, n) for n in (1, 2, 3, 7)}
    assert len(found) == 1


@pytest.mark.usefixtures("small_pieces")
def test_damage_in_any_piece_changes_it() -> None:
    data = np.random.default_rng(0).integers(0, 256, 1000, np.uint8).tobytes()
    whole = of(data)
    for where in range(0, 1000, 41):
        damaged = bytearray(data)
        damaged[where] ^= 0x80
        assert of(damaged) != whole
    exchanged = data[192:384] + data[:192] + data[384:]
    assert of(exchanged) != whole


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [0, 1, 192, 1000])
def test_a_file_has_the_checksum_of_its_bytes(size: int, tmp_path: Path) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    file = tmp_path / "weights.bin"
    file.write_bytes(data)
    assert tools.file_checksum(file) == of(data)
