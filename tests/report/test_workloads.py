"""Named workloads are cases with an objective, and say whether it is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foreknown.artifact import open_artifact
from foreknown.artifact.build import Options
from foreknown.artifact.planned import Planner, planned_artifact
from foreknown.cli import forecast as command
from foreknown.report.workloads import WORKLOADS, expectations, tokens
from tests.report.machines import MACHINE


def test_words_become_tokens() -> None:
    assert tokens(3) == 4
    assert tokens(1000) == 1333
    summary = WORKLOADS["summarise"]
    assert (summary.prompt_tokens, summary.output_tokens) == (1333, 133)


def test_the_command_line_knows_them_all() -> None:
    assert {*WORKLOADS, "all"} == set(command.WORKLOADS)


def test_each_says_why() -> None:
    for workload in WORKLOADS.values():
        assert re.fullmatch(r"[^.]+", workload.why)
        assert workload.what


def test_what_does_not_fit_says_so(tiny_artifact: Path) -> None:
    model = planned_artifact(open_artifact(tiny_artifact))
    (one,) = expectations([WORKLOADS["rag"]], model, MACHINE)
    assert one.told is None
    assert one.record()["met"] is None
    assert one.record()["why_not"] == f"needs a context of {WORKLOADS['rag'].tokens}"


@pytest.mark.parametrize("batch", [1, 4])
def test_what_is_expected(tiny_checkpoint: Path, tmp_path: Path, batch: int) -> None:
    text = (tiny_checkpoint / "config.json").read_text()
    longer = tmp_path / "longer.json"
    longer.write_text(
        text.replace('"max_position_embeddings": 128', '"max_position_embeddings": 4096')
    )
    model = Planner(longer).planned(Options())
    for one in expectations(WORKLOADS.values(), model, MACHINE, batch):
        assert one.told is not None
        record = one.record()
        wanted = {k: v for k, v in record["objective"].items() if v is not None}
        assert record["met"] == all(record[name] <= most for name, most in wanted.items())
        assert record["case"]["batch"] == batch
        assert record["surely_met"] <= record["met"]
