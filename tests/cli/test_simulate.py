"""foreknown simulate: its JSON, its table and plots, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foreknown.cli.main import main

Foreknown = Callable[..., Any]
ROWS = [(0, 20, 5), (40, 60, 8), (45, 9, 1), (900, 300, 30)]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    lines = [f"{ms},{n},{m}\n" for ms, n, m in ROWS]
    path = tmp_path / "trace.csv"
    path.write_text("".join(["arrival_ms,prompt_tokens,output_tokens\n", *lines]))
    return path


def test_json(foreknown: Foreknown, tiny_artifact: Path, trace: Path) -> None:
    ran = foreknown("simulate", tiny_artifact, "--trace", trace, "--json")
    assert ran.status == 0, ran.err
    record = json.loads(ran.out)
    assert (record["requests"], record["completed"], record["clipped"]) == (4, 4, 1)
    for quantity in ("ttft_ms", "tpot_ms", "e2e_ms"):
        times = record[quantity]
        assert 0 < times["p50"] <= times["p90"] <= times["p99"]
    assert record["slower"]["times"] == 1.05
    for quantity in ("ttft_ms", "tpot_ms", "e2e_ms"):
        for share, ms in record[quantity].items():
            assert 1.0 <= record["slower"][quantity][share] / ms < 2.0
    assert record["promises"] == {"made": 0, "kept": 0, "refused": 0}
    assert 0 < record["utilisation"] < 1
    assert record["simulated_s"] > 0.9 > record["wall_s"] > 0
    assert record["joules"] > 0
    assert record["usd"] >= 0
    assert record["trace"]["form"] == "plain"


def test_scales_and_objectives(foreknown: Foreknown, tiny_artifact: Path, trace: Path) -> None:
    words = ("simulate", tiny_artifact, "--trace", trace, "--json")

    def record(*more: object) -> dict[str, Any]:
        ran = foreknown(*words, *more)
        assert ran.status == 0, ran.err
        told: dict[str, Any] = json.loads(ran.out)
        return told

    whole = record()
    assert record("--rate", 0.1)["simulated_s"] == pytest.approx(10 * whole["simulated_s"], rel=0.1)
    assert record("--length", 0.1)["clipped"] == 0
    assert record("--limit", 2)["requests"] == 2
    assert record("--seconds", 0.5)["requests"] == 3
    assert record("--seconds", 0.5, "--rate", 2)["requests"] == 4
    refused = record("--deadline-ms", 1e-6)
    assert refused["promises"] == {"made": 0, "kept": 0, "refused": 4}
    kept = record("--ttft-ms", 60_000, "--tpot-ms", 10_000)
    assert kept["promises"] == {"made": 4, "kept": 4, "refused": 0}


def test_for_people(foreknown: Foreknown, tiny_artifact: Path, trace: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    ran = foreknown("simulate", tiny_artifact, "--trace", trace, "--rate", 2, "--plot", plot)
    assert ran.status == 0, ran.err
    for part in (
        "first token",
        "traffic: trace.csv, rate x 2",
        "4 of 4",
        "machine 5% slower",
        "real time",
    ):
        assert part in ran.out
    assert "trace.csv" in plot.read_text()


def test_a_column_that_means_nothing_is_named(
    foreknown: Foreknown, tiny_artifact: Path, tmp_path: Path
) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("arrival_s,prompt_tokens,output_tokens,deadline\n0,5,5,9\n")
    ran = foreknown("simulate", tiny_artifact, "--trace", path)
    assert ran.status == 0
    assert "mean nothing here: deadline" in ran.err


def test_users(foreknown: Foreknown, tiny_artifact: Path, trace: Path, tmp_path: Path) -> None:
    words = ("simulate", tiny_artifact, "--trace", trace, "--users", "--ttft-ms", 50)
    plot = tmp_path / "plot.png"
    ran = foreknown(*words, "--attain", 0.75, "--think-seconds", 5, "--json", "--plot", plot)
    assert ran.status == 0, ran.err
    record = json.loads(ran.out)
    assert record["requests_s"] > 0
    assert record["users"] >= int(record["requests_s"] * 5)
    assert record["objective"]["ttft_ms"] == 50
    assert plot.stat().st_size
    assert "requests a second" in foreknown(*words).out


def test_a_configuration_is_enough(
    foreknown: Foreknown, tiny_checkpoint: Path, trace: Path, own_cache: Path
) -> None:
    ran = foreknown("simulate", tiny_checkpoint / "config.json", "--trace", trace, "--json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["completed"] == 4
    assert not (own_cache / "artifacts").exists()


def test_what_is_refused(
    refused: Callable[..., str], tiny_artifact: Path, trace: Path, tmp_path: Path
) -> None:
    words = ("simulate", tiny_artifact, "--trace")
    assert "cannot be read: No such file" in refused(*words, tmp_path / "none")
    assert "--users needs to know" in refused(*words, trace, "--users")
    assert "attain is 2" in refused(*words, trace, "--users", "--ttft-ms", 1, "--attain", 2)
    assert "above 0 and up to" in refused(*words, trace, "--ttft-ms", 1e9)
    assert "not .pdf" in refused(*words, trace, "--plot", tmp_path / "plot.pdf")
    short = tmp_path / "short.csv"
    short.write_text("arrival_s,prompt_tokens\n0,5\n")
    message = refused(*words, short)
    assert "no column output_tokens" in message
    assert f"{short}, line 1" in message
    assert "no such model" in refused("simulate", tmp_path / "none", "--trace", trace)


def test_what_lies_beyond_all_times_is_refused(
    refused: Callable[..., str], tiny_artifact: Path, trace: Path, tmp_path: Path
) -> None:
    words = ("simulate", tiny_artifact, "--trace")
    assert "years after the first" in refused(*words, trace, "--rate", 1e-10)
    assert "years after the first" in refused(*words, trace, "--rate", 1e-300)
    assert "length is 1e+308" in refused(*words, trace, "--length", 1e308)
    users = (*words, trace, "--users", "--ttft-ms", 50)
    assert "think_s is 1e+308" in refused(*users, "--think-seconds", 1e308)
    far = tmp_path / "far.csv"
    for seconds in ("5000000000", "1e10"):
        far.write_text(f"arrival_s,prompt_tokens,output_tokens\n0,5,5\n{seconds},5,5\n")
        assert "request 2 comes" in refused(*words, far)
    far.write_text("arrival_s,prompt_tokens,output_tokens\n0,5,5\n1e300,5,5\n")
    assert "line 3, column arrival_s" in refused(*words, far)
    assert "line 1" in refused(*words, "/dev/zero")


def test_a_kept_profile_that_is_not_used_is_told_on_standard_error(
    tiny_artifact: Path, trace: Path, own_cache: Path
) -> None:
    profile = own_cache / "machines" / "host-2.toml"
    profile.parent.mkdir()
    profile.write_bytes(b"\x00\xff")
    words = ["simulate", str(tiny_artifact), "--trace", str(trace), "--threads", "2", "--json"]
    command = [sys.executable, "-m", "foreknown", *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["completed"] == 4
    (line,) = ran.stderr.splitlines()
    for part in (str(profile), "it is not text", "foreknown calibrate --threads 2"):
        assert part in line


@pytest.mark.parametrize("name", ["rate", "length", "seconds", "deadline-ms", "think-seconds"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "fast"])
def test_numbers_that_cannot_be(
    capsys: pytest.CaptureFixture[str], trace: Path, name: str, value: str
) -> None:
    assert main(["simulate", "--trace", str(trace), f"--{name}={value}"]) == 2
    assert "is not a number above zero" in capsys.readouterr().err


def test_it_needs_neither_training_stack_nor_matplotlib(tiny_artifact: Path, trace: Path) -> None:
    code = (
        "import sys; from foreknown.cli import main; main(sys.argv[1:]); "
        "sys.exit(bool({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    words = ["simulate", str(tiny_artifact), "--trace", str(trace), "--json"]
    ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
