"""Watts come from counters that move, or from a table that says what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foreknown.machine.watts import estimated_watts, measured_watts


def counter(root: Path, number: int | str, microjoules: int, name: str = "") -> Path:
    directory = root / f"intel-rapl:{number}"
    directory.mkdir(exist_ok=True)
    if name:
        (directory / "name").write_text(f"{name}\n")
    (directory / "energy_uj").write_text(f"{microjoules}\n")
    return directory / "energy_uj"


def moving(monkeypatch: pytest.MonkeyPatch, files: list[Path]) -> Callable[[float, float], None]:
    """Counters that each count 10 watts asleep; passes some seconds at others."""
    now = [0.0]

    def pass_time(seconds: float, watts: float) -> None:
        now[0] += seconds
        for file in files:
            file.write_text(str(int(file.read_text()) + round(watts * seconds * 1e6)))

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: pass_time(seconds, 10.0))
    return pass_time


def test_counters_that_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [counter(tmp_path, n, 1000) for n in range(2)]
    pass_time = moving(monkeypatch, files)
    found = measured_watts(lambda seconds: pass_time(seconds, 45.5), tmp_path)
    assert found is not None
    assert (found.idle, found.busy) == (20.0, 91.0)
    assert "RAPL" in found.source


@pytest.mark.parametrize(
    ("zones", "counted"),
    [
        ({"0": "package-0", "1": "psys"}, 1),
        ({"0": "psys", "1": "package-0", "10": "package-1"}, 2),
        ({"0": "package-0", "0:0": "core", "0:1": "dram"}, 1),
        ({"0": "package-0-die-0", "1": "package-0-die-1"}, 2),
        ({"0": "psys"}, 1),
    ],
)
def test_no_energy_is_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zones: dict[str, str], counted: int
) -> None:
    files = [counter(tmp_path, number, 1000, name) for number, name in zones.items()]
    pass_time = moving(monkeypatch, files)
    found = measured_watts(lambda seconds: pass_time(seconds, 30.0), tmp_path)
    assert found is not None
    assert (found.idle, found.busy) == (10.0 * counted, 30.0 * counted)


def test_counters_that_stand_still_or_are_not_there(tmp_path: Path) -> None:
    assert measured_watts(lambda seconds: None, tmp_path, seconds=0.0) is None
    counter(tmp_path, 0, 5)
    assert measured_watts(lambda seconds: None, tmp_path, seconds=0.0) is None
    counter(tmp_path, 0, 5).write_text("no number")
    assert measured_watts(lambda seconds: None, tmp_path, seconds=0.0) is None


def test_the_table_grows_with_processors_and_says_that_it_is_one() -> None:
    small, large = (estimated_watts("AMD EPYC 7763", n) for n in (2, 64))
    assert 0 < small.idle < small.busy
    assert large.busy == pytest.approx(32 * small.busy)
    assert small.source.startswith("estimate")
    assert estimated_watts("something new", 4).busy > 0
