"""foreknown bench, calibrate and coverage: their JSON, and law 4 as bench measures it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foreknown.capture import coverage
from foreknown.capture.coverage import Coverage

Foreknown = Callable[..., Any]


def test_bench_json(foreknown: Foreknown, bundled_artifact: Path) -> None:
    ran = foreknown("bench", bundled_artifact, "--quick", "--json", "--threads", 1)
    assert ran.status == 0, ran.err
    record = json.loads(ran.out)
    assert record["machine"]["read_gb_s"] > 0
    assert record["machine"]["f32_gflop_s"] > 0
    assert {"tokens", "tok_s", "share_of_limit"} <= set(record["prefill"][0])
    assert {"batch", "context", "tok_s", "share_of_limit"} <= set(record["decode"][0])
    for row in record["prefill"] + record["decode"]:
        assert row["tok_s"] > 0
        assert row["share_of_limit"] > 0
        assert row["forecast_tok_s"] > 0
    assert set(record["memory"]) == {"planned_bytes", "measured_bytes"}


def test_memory_is_what_was_planned(bundled_artifact: Path) -> None:
    """In a process of its own, where nothing else comes and goes."""
    command = [sys.executable, "-m", "foreknown", "bench", str(bundled_artifact)]
    done = subprocess.run(
        [*command, "--quick", "--json"], capture_output=True, text=True, check=True
    )
    memory = json.loads(done.stdout)["memory"]
    planned, measured = memory["planned_bytes"], memory["measured_bytes"]
    assert abs(measured - planned) <= planned * 0.01 + (32 << 20)


def test_bench_for_people(
    foreknown: Foreknown, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREKNOWN_DEBUG", "2")
    ran = foreknown("bench", tiny_artifact, "--quick")
    assert ran.status == 0, ran.err
    assert "share of limit" in ran.out
    assert "planned" in ran.out
    assert "GOP/s" in ran.err


@pytest.fixture
def three_types(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Coverage("llama", "exact", 1e-6, 1.0, ""),
        Coverage("xlm", "refused", None, 2.0, "an op (file.py:3)"),
        Coverage("gpt2", "exact", 2e-6, 3.0, ""),
    ]
    monkeypatch.setattr(coverage, "cover_all", lambda types, command, jobs: iter(found))


@pytest.mark.usefixtures("three_types")
def test_coverage_json_and_page(foreknown: Foreknown, tmp_path: Path) -> None:
    page = tmp_path / "coverage.md"
    words = ("coverage", "--types", "llama,xlm,gpt2", "--markdown", page)
    record = json.loads(foreknown(*words, "--json").out)
    assert list(record) == ["transformers", "total", "exact", "types"]
    assert (record["total"], record["exact"]) == (3, 2)
    assert record["types"][1] == {
        "model_type": "xlm",
        "status": "refused",
        "max_abs_err": None,
        "seconds": 2.0,
        "reason": "an op (file.py:3)",
    }
    assert "| gpt2 | exact | 2.0e-06 | 3.0 |  |" in page.read_text()
    assert "2 of 3 types" in foreknown(*words).out


def test_coverage_of_an_unknown_type(refused: Callable[..., str]) -> None:
    assert "no causal-LM type unheard-of" in refused("coverage", "--types", "unheard-of")


def test_coverage_runs_the_compiled_program(foreknown: Foreknown) -> None:
    ran = foreknown("coverage", "--types", "llama", "--json")
    (one,) = json.loads(ran.out)["types"]
    assert (one["model_type"], one["status"], one["reason"]) == ("llama", "exact", "")
    assert ran.status == 0
