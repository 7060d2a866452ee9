"""foreknown compile, and checkpoints that are compiled on first use."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foreknown.artifact import open_artifact

Foreknown = Callable[..., Any]


def test_json_says_what_was_made(
    foreknown: Foreknown, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    words = ("compile", tiny_checkpoint, "-o", tmp_path / "a", "--context", 64, "--weights", "bf16")
    ran = foreknown(*words, "--json")
    assert ran.status == 0, ran.err
    assert ran.err == ""
    record = json.loads(ran.out)
    assert record["context"] == 64
    assert record["weights"] == "bf16"
    assert record["bytes"]["weights"] == (tmp_path / "a" / "weights.bin").stat().st_size
    assert record["memory"]["total_bytes"] > record["bytes"]["weights"]
    assert record["seconds"]["total"] > 0
    assert record["forecast"]["decode_tok_s"] > 0
    assert open_artifact(tmp_path / "a").manifest.sizes.context == 64


def test_people_are_told_sizes_seconds_and_the_forecast(
    foreknown: Foreknown, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    ran = foreknown("compile", tiny_checkpoint, "-o", tmp_path / "a")
    assert ran.status == 0, ran.err
    for word in ("weights", "capture", "what running it will take", "first token", "basis"):
        assert word in ran.out


def test_an_artifact_for_another_machine(
    foreknown: Foreknown, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    words = ("compile", tiny_checkpoint, "-o", tmp_path / "a", "--target", "aarch64", "--json")
    record = json.loads(foreknown(*words).out)
    assert record["target"] == "aarch64"
    assert record["forecast"] is None


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every checkpoint that is compiled on first use from now on."""
    from foreknown.artifact import find

    seen, compile_checkpoint = [], find.compile_checkpoint

    def counting(source: Path, *given: Any) -> Any:
        seen.append(source)
        return compile_checkpoint(source, *given)

    monkeypatch.setattr(find, "compile_checkpoint", counting)
    return seen


def test_a_checkpoint_is_compiled_when_it_changes_and_no_sooner(
    foreknown: Foreknown, checkpoint: Path, own_cache: Path, compiles: list[Path]
) -> None:
    words = ("run", checkpoint, "--prompt", "Hi", "--max-tokens", 2)
    first = foreknown(*words)
    assert first.status == 0, first.err
    assert foreknown(*words) == first
    assert len(compiles) == 1
    os.utime(checkpoint / "model.safetensors")
    assert foreknown(*words) == first
    assert len(compiles) == 2
    assert foreknown(*words, "--context", 32).status == 0  # beside the other
    assert len(compiles) == 3
    assert foreknown(*words) == first
    assert len(compiles) == 3
    artifacts = [p for p in (own_cache / "artifacts").iterdir() if p.is_dir()]
    assert len(artifacts) == 2
    assert all(p.name.startswith("checkpoint-") for p in artifacts)


def test_a_cache_that_cannot_be_written(
    refused: Callable[..., str],
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOREKNOWN_CACHE", str(tmp_path / "file"))
    assert "FOREKNOWN_CACHE" in refused("run", tiny_checkpoint, "--prompt", "Hi")


def test_left_out_it_is_the_bundled_model(
    foreknown: Foreknown, bundled_artifact: Path, own_cache: Path, compiles: list[Path]
) -> None:
    from foreknown.artifact import find
    from foreknown.artifact.build import Options
    from foreknown.checkpoint import open_checkpoint
    from foreknown.targets.cpu.toolchain import find_target

    # what a first use would have compiled
    checkpoint = open_checkpoint(find.BUNDLED)
    kept = find._place(checkpoint, replace(Options(), target=find_target("host").name))
    shutil.copytree(bundled_artifact, kept)
    words = ("--prompt", "Who are you?", "--max-tokens", 4)
    assert foreknown("run", *words) == foreknown("run", bundled_artifact, *words)
    assert compiles == []
