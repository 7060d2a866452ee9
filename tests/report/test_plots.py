"""Plots are drawn where they are asked for, and refused before anything is computed for them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from foreknown.engine.promises import Objective
from foreknown.errors import RequestError
from foreknown.report.load_search import Goal, largest_load
from foreknown.report.plots import check_plot, draw_load, draw_simulation
from foreknown.report.simulation import Simulation, simulate
from foreknown.report.trace_forms import TracedRequest
from foreknown.report.traces import Trace
from foreknown.report.traffic import Scale, Traffic, traffic
from tests.report.served import round_served

SERVED = round_served()


def come(objective: Objective | None = None) -> Traffic:
    requests = tuple(TracedRequest(i * 10**8, 30 + i, 5 + i % 7) for i in range(40))
    return traffic(Trace("", "", requests), Scale(), SERVED.longest, objective)


def done(objective: Objective | None = None) -> Simulation:
    return simulate(SERVED, come(objective))


def words(path: Path) -> str:
    """All text of an SVG file."""
    return " ".join(ElementTree.parse(path).getroot().itertext())


def test_a_simulation(tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    draw_simulation(done(), "forty requests", path)
    text = words(path)
    for part in ("forty requests", "first token", "requests a second", "seconds", "% of the time"):
        assert part in text
    draw_simulation(done(), "forty requests", tmp_path / "again.svg")
    assert path.read_bytes() == (tmp_path / "again.svg").read_bytes()


def test_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "plot.PNG"
    draw_simulation(done(), "forty requests", path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_of_nothing_but_refusals(tmp_path: Path) -> None:
    draw_simulation(done(Objective(deadline_ms=0.01)), "refused", tmp_path / "plot.svg")
    assert "refused" in words(tmp_path / "plot.svg")


@pytest.mark.parametrize("ttft_ms", [0.1, 20.0])
def test_a_load(tmp_path: Path, ttft_ms: float) -> None:
    load = largest_load(SERVED, come(), Goal(Objective(ttft_ms=ttft_ms), 0.9), think_s=10)
    draw_load(load, "a load", tmp_path / "plot.svg")
    text = words(tmp_path / "plot.svg")
    assert "% in time" in text
    assert (f"{load.users:,} users" in text) == bool(load.users)


def test_what_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_plot(tmp_path / "plot.svg")
    for name, part in (("plot.gif", "not .gif"), ("plot", "without a suffix")):
        with pytest.raises(RequestError, match=part):
            check_plot(tmp_path / name)
    with pytest.raises(RequestError, match="no such folder"):
        check_plot(tmp_path / "none" / "plot.svg")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"foreknown\[plots\]"):
        check_plot(tmp_path / "plot.svg")


def test_nothing_is_imported_to_draw_until_something_is_drawn() -> None:
    code = "import sys, foreknown.report.plots; print('matplotlib' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
