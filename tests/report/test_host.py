"""The host's profile: kept, never taken for another machine's, estimated where it is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foreknown.errors import MachineError
from foreknown.machine import Machine, write_machine
from foreknown.report import host
from foreknown.report.host import calibrate, estimated_host, known_host, named_machine, profile_path
from tests.machine.random_machines import random_kernels, random_machine


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREKNOWN_CACHE", str(tmp_path))


def ours(threads: int = 2, **more: Any) -> Machine:
    """A profile that could be the host's."""
    here = estimated_host(threads)
    machine = random_machine(1, threads)
    return replace(machine, name=here.name, features=here.features, **more)


def test_an_estimate_until_it_is_measured() -> None:
    assert known_host(2).estimated
    write_machine(ours(), profile_path(2))
    assert known_host(2) == ours()
    assert known_host(3).estimated


@pytest.mark.parametrize("other", [{"name": "another"}, {"features": ("sse9",)}, {"threads": 7}])
def test_another_machine_s_profile_is_never_taken(tmp_path: Path, other: dict[str, Any]) -> None:
    foreign = replace(ours(), **other)
    write_machine(foreign, profile_path(2))
    assert known_host(2).estimated
    write_machine(foreign, tmp_path / "given.toml")
    with pytest.raises(MachineError, match="of another machine") as refused:
        named_machine(tmp_path / "given.toml", 2)
    assert "calibrate" in refused.value.remedy


def test_a_profile_that_was_named(tmp_path: Path) -> None:
    write_machine(ours(), tmp_path / "given.toml")
    assert named_machine(tmp_path / "given.toml", 2) == ours()
    with pytest.raises(MachineError, match="cannot be read"):
        named_machine(tmp_path / "missing.toml", 2)


def test_a_damaged_profile_is_as_good_as_none() -> None:
    write_machine(ours(), profile_path(2))
    path = profile_path(2)
    path.write_text(path.read_text().replace("threads = 2", "threads = two"))
    assert known_host(2).estimated


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Lines of the log."""
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\x00\xff\x13", "it is not text"),
        (b"", "format is missing"),
        (b"format = 7\nname = 'a'", "is missing"),
        (None, "of another machine: the processor is another, here "),
    ],
)
def test_a_kept_profile_that_is_not_used_is_told_once(
    caplog: pytest.LogCaptureFixture, text: bytes | None, why: str
) -> None:
    path = profile_path(2)
    write_machine(replace(ours(), name="another"), path)
    if text is not None:
        path.write_bytes(text)
    assert known_host(2).estimated
    assert known_host(2).estimated
    (line,) = told(caplog)
    for part in ("the kept profile is not used", why, str(path), "foreknown calibrate --threads 2"):
        assert part in line


def test_neither_none_nor_a_good_one_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    known_host(2)
    write_machine(ours(), profile_path(2))
    known_host(2)
    assert not told(caplog)


def test_a_name_is_fit_to_be_printed(tmp_path: Path) -> None:
    write_machine(ours(), tmp_path / "given.toml")
    text = (tmp_path / "given.toml").read_text()
    strange = f"\\u001b[31m{'x' * 9999}"
    (tmp_path / "given.toml").write_text(text.replace(ours().name, strange))
    with pytest.raises(MachineError, match="of another machine") as refused:
        named_machine(tmp_path / "given.toml", 2)
    assert refused.value.what.isprintable()
    assert len(refused.value.what) < 600


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring takes no time."""
    monkeypatch.setattr(host, "measure", lambda probes, threads: ours(threads))
    measure_kernels = "foreknown.report.calibration.measure_kernels"
    monkeypatch.setattr(
        measure_kernels, lambda threads, progress, minutes: (random_kernels(2), 0.031, False)
    )
    monkeypatch.setattr("foreknown.report.calibration.first_touch_gb_s", lambda: 1.5)
    monkeypatch.setattr(host, "measured_watts", lambda work: None)


@pytest.mark.usefixtures("measured")
def test_what_was_measured_is_kept() -> None:
    machine = calibrate(2)
    assert known_host(2) == machine
    assert not machine.estimated
    assert (machine.noise, machine.quiet, machine.first_touch_gb_s) == (0.031, False, 1.5)
    assert machine.watts_from.startswith("estimate")
    assert len(machine.date) == len("2026-11-25")


@pytest.mark.usefixtures("measured")
def test_prices_and_watts_stay_until_others_are_given() -> None:
    calibrate(2, usd_per_hour=1.25, watts=(20, 95))
    again = calibrate(2)
    assert (again.usd_per_hour, again.idle_watts, again.busy_watts) == (1.25, 20, 95)
    assert again.watts_from == "as given to calibrate"
    assert calibrate(2, usd_per_hour=0.5).usd_per_hour == 0.5


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("wrong", [{"usd_per_hour": -1.0}, {"watts": (95.0, 20.0)}])
def test_nonsense_is_refused_and_nothing_is_kept(wrong: dict[str, Any]) -> None:
    with pytest.raises(MachineError):
        calibrate(2, **wrong)
    assert not profile_path(2).exists()


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("other", [{"name": "another"}, {"features": ("sse9",)}])
def test_another_machine_s_price_and_watts_are_not_taken_over(
    caplog: pytest.LogCaptureFixture, other: dict[str, Any]
) -> None:
    more = {"usd_per_hour": 3.5, "watts_from": host.BY_HAND}
    write_machine(replace(ours(), **more, **other), profile_path(2))
    machine = calibrate(2)
    assert machine.usd_per_hour == 0
    assert machine.watts_from.startswith("estimate")
    assert known_host(2) == machine
    (line,) = told(caplog)
    assert "the kept profile is replaced" in line
    assert "of another machine" in line


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    ("line", "damaged"),
    [
        ("[9437184, 0.000]", "[inf, 0.000]"),
        ("[1048576, 120.000]", "[inf, 120.000]"),
        ("tokens = [1, 2, 5,", 'tokens = ["1", 2, 5,'),
        ("usd_per_hour = 0.0900", "usd_per_hour = true"),
        ("format = 7", ""),
    ],
)
def test_measuring_repairs_any_damage(
    caplog: pytest.LogCaptureFixture, line: str, damaged: str
) -> None:
    write_machine(ours(), profile_path(2))
    text = profile_path(2).read_text()
    assert line in text
    profile_path(2).write_text(text.replace(line, damaged, 1))
    assert known_host(2).estimated
    machine = calibrate(2)
    assert known_host(2) == machine
    assert "the kept profile is replaced" in told(caplog)[-1]
