"""A machine's text: it reads back, people can read it, and what makes no sense is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foreknown.errors import MachineError
from foreknown.machine import machine_toml, read_machine, write_machine
from tests.machine.random_machines import random_machine


@pytest.mark.parametrize("seed", range(4))
def test_kernels_read_back(tmp_path: Path, seed: int) -> None:
    machine = random_machine(seed)
    write_machine(machine, tmp_path / "m.toml")
    assert read_machine(tmp_path / "m.toml") == machine


def test_people_find_units_in_it() -> None:
    text = machine_toml(random_machine(1))
    assert "working set in bytes, 1e9 bytes a second" in text
    assert "*_us microseconds" in text
    estimate = machine_toml(replace(random_machine(1), estimated=True))
    assert estimate.startswith("# An estimate from the processor's features")


@pytest.mark.parametrize(
    ("line", "damaged", "message"),
    [
        ("busy_watts = 95.5000", "busy_watts = 2.0", "does not draw"),
        ("idle_watts = 20.0000", "idle_watts = -1.0", "not what a machine draws"),
        ("usd_per_hour = 0.0900", "usd_per_hour = 1e9", "no price"),
        ("usd_per_hour = 0.0900", "usd_per_hour = nan", "no price"),
        ("noise = 0.0700", "noise = -0.5", "noise"),
        ("first_touch_gb_s = 2.0000", "first_touch_gb_s = 0.0", "first_touch_gb_s"),
        ("tokens = [1, 2, 5,", "tokens = [1, 5, 2,", "ascending"),
        ("tokens = [1, 2, 5,", "tokens = [1, 5,", "same length"),
        ("cached_bytes = 9437184", "cached_bytes = -1", "cached_bytes"),
        ("element_ps.cheap", "element_ps.cheep", "cannot be read"),
        ("format = 4", "format = 3", "another format"),
        ("[kernels.engine]", "[kernels.motor]", "cannot be read"),
    ],
)
def test_damage_is_told(tmp_path: Path, line: str, damaged: str, message: str) -> None:
    text, path = machine_toml(random_machine(2)), tmp_path / "m.toml"
    assert line in text
    path.write_text(text.replace(line, damaged, 1))
    with pytest.raises(MachineError, match=message) as refused:
        read_machine(path)
    assert refused.value.where == str(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"usd_per_hour": -0.01},
        {"usd_per_hour": float("inf")},
        {"idle_watts": 1e7},
        {"busy_watts": float("nan")},
        {"idle_watts": 100.0, "busy_watts": 50.0},
    ],
)
def test_watts_and_prices_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(MachineError):
        replace(random_machine(3), **wrong)
