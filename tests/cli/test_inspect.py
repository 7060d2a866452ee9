"""foreknown inspect: everything that was decided can be seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foreknown.artifact import open_artifact
from foreknown.artifact.loading import plan_memory

Foreknown = Callable[..., Any]


def test_the_graph_is_in_the_text_of_the_ir(foreknown: Foreknown, tiny_artifact: Path) -> None:
    said = foreknown("inspect", tiny_artifact, "graph").out
    assert said == (tiny_artifact / "graph.txt").read_text()
    assert "attend" in said
    assert "select_rows" in said


def test_the_c_is_the_source(foreknown: Foreknown, tiny_artifact: Path) -> None:
    assert foreknown("inspect", tiny_artifact, "c").out == (tiny_artifact / "program.c").read_text()


@pytest.mark.skipif(not shutil.which("objdump"), reason="there is no disassembler")
def test_the_assembly_has_the_entry_points(foreknown: Foreknown, tiny_artifact: Path) -> None:
    assert "<fk_step" in foreknown("inspect", tiny_artifact, "asm").out


def test_every_phase_has_a_price(foreknown: Foreknown, tiny_artifact: Path) -> None:
    words = ("inspect", tiny_artifact, "phases", "--threads", 1, "--tokens", 4, "--at", 16)
    record = json.loads(foreknown(*words, "--json").out)
    phases = open_artifact(tiny_artifact).phases()
    assert record["step"] == {"tokens": 4, "rows": 1, "attended": 64, "kept": 16, "context": 16}
    for shown, phase in zip(record["phases"], phases, strict=True):
        assert shown["function"] == phase.function
        assert shown["bytes"] == phase.cost.bytes.at(tokens=4, rows=1, context=16)
        assert shown["bytes"] + shown["flops"] > 0
        assert shown["forecast_us"] > 0
    text = foreknown(*words).out
    assert " T C" in text
    assert "meetings of all threads" in text


def test_every_byte_is_shown(foreknown: Foreknown, tiny_artifact: Path) -> None:
    words = ("inspect", tiny_artifact, "memory", "--threads", 2)
    record = json.loads(foreknown(*words, "--json").out)
    artifact = open_artifact(tiny_artifact)
    memory = plan_memory(artifact, record["blocks"], 2)
    assert record["totals"]["total"] == memory.total
    weights = record["constants"]
    assert max(c["offset"] + c["bytes"] for c in weights) <= artifact.manifest.weights_bytes
    text = foreknown(*words).out
    assert "model.layers.0.mlp.down_proj.weight" in text
    assert "together" in text


def test_the_summary(foreknown: Foreknown, tiny_artifact: Path) -> None:
    assert json.loads(foreknown("inspect", tiny_artifact, "--json").out)["context"] == 128
    assert "what running it will take" in foreknown("inspect", tiny_artifact).out


def test_text_has_no_json(refused: Callable[..., str], tiny_artifact: Path) -> None:
    assert "leave --json out" in refused("inspect", tiny_artifact, "graph", "--json")
