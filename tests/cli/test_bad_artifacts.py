"""What can be wrong with an artifact: one message, and nothing runs."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from foreknown.artifact import open_artifact
from foreknown.artifact.format import manifest_json

Refused = Callable[..., str]
AGAIN = "compile the checkpoint again"


@pytest.fixture
def refused_run(refused: Refused, artifact: Path) -> Callable[[], str]:
    return lambda: refused("run", artifact, "--prompt", "Hi", "--max-tokens", 2)


def flip_byte(path: Path, at: float) -> None:
    raw = bytearray(path.read_bytes())
    raw[int(len(raw) * at)] ^= 0x10
    path.write_bytes(raw)


def change_manifest(artifact: Path, **values: object) -> None:
    manifest = replace(open_artifact(artifact).manifest, **values)  # type: ignore[arg-type]
    (artifact / "manifest.json").write_text(manifest_json(manifest))


@pytest.mark.parametrize("at", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(
    "name", ["weights.bin", "program.so", "plan.json", "checkpoint/tokenizer.json"]
)
def test_a_flipped_byte(
    artifact: Path, refused_run: Callable[[], str], name: str, at: float
) -> None:
    flip_byte(artifact / name, at)
    said = refused_run()
    assert f"{name} is damaged" in said
    assert AGAIN in said


@pytest.mark.parametrize("name", ["weights.bin", "program.so", "graph.txt"])
def test_a_missing_file(artifact: Path, refused_run: Callable[[], str], name: str) -> None:
    (artifact / name).unlink()
    assert name in refused_run()


def test_truncated_weights(artifact: Path, refused_run: Callable[[], str]) -> None:
    os.truncate(artifact / "weights.bin", 100)
    assert "weights.bin has 100 bytes" in refused_run()


def test_a_flipped_digit_in_the_manifest(artifact: Path, refused_run: Callable[[], str]) -> None:
    path = artifact / "manifest.json"
    path.write_text(path.read_text().replace('"context": 128', '"context": 129'))
    assert "the manifest is damaged" in refused_run()


def test_another_version(artifact: Path, refused_run: Callable[[], str]) -> None:
    change_manifest(artifact, format=999)
    said = refused_run()
    assert "format 999" in said
    assert AGAIN in said


def test_another_instruction_set(artifact: Path, refused_run: Callable[[], str]) -> None:
    other = "x86-64-v3" if platform.machine() == "aarch64" else "aarch64"
    change_manifest(artifact, target=other)
    said = refused_run()
    assert other in said
    assert AGAIN in said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_manifest_that_makes_no_sense(
    artifact: Path, refused_run: Callable[[], str], text: str
) -> None:
    (artifact / "manifest.json").write_text(text)
    assert "manifest.json" in refused_run()


def test_more_memory_than_there_is(
    artifact: Path, refused_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foreknown.artifact.loading.available_bytes", lambda: 100_000)
    said = refused_run()
    assert "are needed and" in said
    assert "would fit" in said or "do not fit" in said


def test_neither_artifact_nor_checkpoint(refused: Refused, tmp_path: Path) -> None:
    assert "neither" in refused("run", tmp_path, "--prompt", "Hi")
    assert "no such model" in refused("chat", tmp_path / "nothing")


def test_a_model_without_chat_template_cannot_chat(refused: Refused, artifact: Path) -> None:
    template = "checkpoint/chat_template.jinja"
    files = open_artifact(artifact).manifest.files
    change_manifest(artifact, files={k: v for k, v in files.items() if k != template})
    (artifact / template).unlink()
    assert "foreknown run" in refused("chat", artifact)


def test_damage_in_the_cache_is_mended(
    foreknown: Callable[..., object], tiny_checkpoint: Path, own_cache: Path
) -> None:
    words = ("run", tiny_checkpoint, "--prompt", "Hi", "--max-tokens", 2)
    first = foreknown(*words)
    (kept,) = (p for p in (own_cache / "artifacts").iterdir() if p.is_dir())
    flip_byte(kept / "weights.bin", 0.5)
    assert foreknown(*words) == first
    shutil.rmtree(kept)
    assert foreknown(*words) == first
