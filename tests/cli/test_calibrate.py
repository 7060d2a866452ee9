"""foreknown calibrate refuses nonsense before it measures anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foreknown.cli.main import main
from foreknown.machine import machine_toml
from foreknown.report import host
from tests.machine.random_machines import random_machine


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--usd-per-hour", "-1"], "no price"),
        (["--usd-per-hour", "nan"], "no price"),
        (["--usd-per-hour", "20000"], "no price"),
        (["--watts", "95,20"], "does not draw"),
        (["--watts", "20"], "no two numbers"),
        (["--watts", "a,b"], "no two numbers"),
        (["--watts", "1,inf"], "not what a machine draws"),
    ],
)
def test_nonsense(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "calibrate", lambda *given, **more: pytest.fail("it measured"))
    assert main(["calibrate", *arguments]) != 0
    assert message in capsys.readouterr().err


def test_what_was_found_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREKNOWN_CACHE", str(tmp_path))
    monkeypatch.setattr(host, "calibrate", lambda *given, **more: random_machine(5))
    assert main(["calibrate", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["name"] == "machine 5"
    assert record["path"].startswith(str(tmp_path))
    assert {"products", "attention", "rows", "engine"} <= record["kernels"].keys()
    assert main(["calibrate", "--threads", "2"]) == 0
    assert "stands in" in capsys.readouterr().out


def test_a_damaged_or_foreign_profile_that_was_named(
    tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "m.toml"
    text = machine_toml(random_machine(5))
    words = [str(tiny_artifact), "--prompt", "9", "--output", "9", "--machine", str(profile)]
    for line, damaged, message in (
        ("[9437184, 0.000]", "[inf, 0.000]", "streamed_shares of kernels is"),
        ("tokens = [1,", 'tokens = ["1",', "tokens of kernels.products 1 is"),
        ("usd_per_hour = 0.0900", "usd_per_hour = true", "usd_per_hour is true"),
        ("threads = 2", "threads = 2", "of another machine"),
    ):
        assert line in text
        profile.write_text(text.replace(line, damaged, 1))
        assert main(["forecast", *words]) == 1
        said = capsys.readouterr().err
        for part in (message, f"where: {profile}", "to do: "):
            assert part in said


def test_measuring_needs_no_training_stack() -> None:
    code = (
        "import sys, foreknown.report.calibration, foreknown.report.host\n"
        "from foreknown.targets.cpu.probes import PROBES, probe_plan\n"
        "probe_plan(PROBES[0])\n"
        "sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
