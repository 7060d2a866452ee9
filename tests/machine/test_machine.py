"""A machine's description: its text, its bounds, and what lies between its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.errors import MachineError
from foreknown.machine import Machine, read_machine, write_machine
from foreknown.machine.machine import SURE

MACHINE = Machine("a machine", 2, ((1 << 20, 80.0), (1 << 24, 40.0)), 100.0, 400.0, 1.5)


def test_its_text_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "machines" / "host-2.toml"
    write_machine(MACHINE, path)
    assert read_machine(path) == MACHINE
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_text().startswith("# Measured by")


def test_a_strange_name_reads_back(tmp_path: Path) -> None:
    write_machine(replace(MACHINE, name='a "b" \\ c'), tmp_path / "m.toml")
    assert read_machine(tmp_path / "m.toml").name == "a 'b' / c"


@pytest.mark.parametrize(
    ("working_set", "expected"),
    [(1, 80.0), (1 << 20, 80.0), (1 << 22, 60.0), (1 << 24, 40.0), (1 << 40, 40.0)],
)
def test_bandwidth_between_measured_sizes(working_set: int, expected: float) -> None:
    assert MACHINE.bandwidth_gb_s(working_set) == pytest.approx(expected)


@given(st.floats(1, 1e15))
def test_bandwidth_stays_within_what_was_measured(working_set: float) -> None:
    assert 40.0 <= MACHINE.bandwidth_gb_s(working_set) <= 80.0 + 1e-9


@pytest.mark.parametrize(
    "wrong",
    [
        {"f32_gflop_s": 0.0},
        {"f32_gflop_s": float("nan")},
        {"int8_gop_s": 0.0},
        {"threads": 0},
        {"barrier_us": -1.0},
        {"read_gb_s": ()},
        {"read_gb_s": ((2, 1.0), (1, 1.0))},
        {"read_gb_s": ((1, float("inf")),)},
    ],
)
def test_numbers_that_no_machine_has(wrong: dict[str, Any]) -> None:
    with pytest.raises(MachineError):
        replace(MACHINE, **wrong)


@pytest.mark.parametrize(
    "text",
    ["", "format = 1", "format = 99\nname = 'a'", "not toml", "format = 1\nsurprise = 2"],
)
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(text)
    with pytest.raises(MachineError, match="foreknown calibrate"):
        read_machine(path)
    with pytest.raises(MachineError, match="cannot be read"):
        read_machine(tmp_path / "missing.toml")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="FOREKNOWN_CACHE"):
        write_machine(MACHINE, tmp_path / "file" / "machine.toml")


def test_promises_add_what_a_machine_strays_by_once_in_a_thousand() -> None:
    measured = replace(MACHINE, noise=0.1)
    assert measured.margin == SURE * measured.noise > measured.noise
    assert replace(measured, estimated=True).margin == measured.noise
