"""Whatever is wrong with an artifact is found before it runs, and said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from foreknown.artifact import loading
from foreknown.artifact.format import (
    FORMAT,
    MANIFEST,
    OBJECT,
    WEIGHTS,
    Artifact,
    is_artifact,
    manifest_json,
    open_artifact,
)
from foreknown.artifact.loading import load_program
from foreknown.errors import ArtifactError, DoesNotFit
from foreknown.targets.cpu import toolchain


def flip(path: Path, where: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[where] ^= 1 << bit
    path.write_bytes(bytes(data))


def refused(directory: Path, says: str | None = None) -> ArtifactError:
    with pytest.raises(ArtifactError, match=says) as raised:
        load_program(open_artifact(directory), n_threads=1).program.close()
    error = raised.value
    assert error.where
    assert error.remedy
    return error


def test_a_flipped_bit_in_any_file_is_refused(artifact: Artifact) -> None:
    files = [p for p in artifact.directory.rglob("*") if p.is_file()]
    assert len(files) >= 6
    for path in files:
        size = path.stat().st_size
        for where in sorted({0, 1, size // 3, size // 2, size - 1}):
            flip(path, where, bit=where % 7)
            refused(artifact.directory)
            flip(path, where, bit=where % 7)
    load_program(open_artifact(artifact.directory), n_threads=1).program.close()


def test_a_flipped_bit_anywhere_in_the_manifest_is_refused(artifact: Artifact) -> None:
    path = artifact.directory / MANIFEST
    for where in range(path.stat().st_size):
        flip(path, where, bit=where % 8)
        with pytest.raises(ArtifactError):
            open_artifact(artifact.directory)
        flip(path, where, bit=where % 8)
    assert open_artifact(artifact.directory) == artifact


def test_a_flipped_bit_anywhere_in_the_weights_is_refused(artifact: Artifact) -> None:
    path = artifact.directory / WEIGHTS
    opened = open_artifact(artifact.directory)
    for where in range(17, path.stat().st_size, path.stat().st_size // 25):
        flip(path, where, bit=where % 8)
        with pytest.raises(ArtifactError, match="checksum differs"):
            load_program(opened, n_threads=2)
        flip(path, where, bit=where % 8)


def test_missing_files_are_named(artifact: Artifact) -> None:
    for path in [p for p in artifact.directory.rglob("*") if p.is_file()]:
        moved = path.with_name("moved")
        path.rename(moved)
        error = refused(artifact.directory)
        if path.name == MANIFEST:
            assert "no manifest" in error.what
        else:
            assert path.name in f"{error.what} {error.where}"
        moved.rename(path)


@pytest.mark.parametrize("change", [-1, -5000, 1, 4096])
def test_weights_of_another_length_are_refused(artifact: Artifact, change: int) -> None:
    path = artifact.directory / WEIGHTS
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + bytes(change))
    assert "bytes instead of" in refused(artifact.directory).what


def test_empty_weights_are_refused(artifact: Artifact) -> None:
    (artifact.directory / WEIGHTS).write_bytes(b"")
    refused(artifact.directory)


@pytest.mark.parametrize("found", [FORMAT + 1, 0, None, "1", [], {}])
def test_another_format_is_refused(artifact: Artifact, found: object) -> None:
    path = artifact.directory / MANIFEST
    record = json.loads(path.read_text())
    record["format"] = found
    path.write_text(json.dumps(record))
    assert f"reads format {FORMAT}" in refused(artifact.directory).what


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"text"', '{"format": 1}', "\x00\xff", "{" * 2000]
)
def test_a_manifest_that_is_none_is_refused(artifact: Artifact, text: str) -> None:
    (artifact.directory / MANIFEST).write_text(text, encoding="latin-1")
    refused(artifact.directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [("sizes", 3), ("sizes", {}), ("files", []), ("files", None), ("unknown", 1), ("target", 5)],
)
def test_a_manifest_with_other_fields_is_refused(
    artifact: Artifact, key: str, value: object
) -> None:
    path = artifact.directory / MANIFEST
    record = json.loads(path.read_text())
    record[key] = value
    path.write_text(json.dumps(record, indent=2) + "\n")
    refused(artifact.directory)


def test_a_file_left_out_of_the_manifest_cannot_be_smuggled_in(artifact: Artifact) -> None:
    path = artifact.directory / MANIFEST
    record = json.loads(path.read_text())
    del record["files"][OBJECT]
    path.write_text(json.dumps(record, indent=2) + "\n")
    refused(artifact.directory, "damaged")


def test_a_directory_without_manifest_is_no_artifact(tmp_path: Path) -> None:
    assert not is_artifact(tmp_path)
    assert not is_artifact(tmp_path / "missing")
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ArtifactError, match="no artifact"):
            open_artifact(directory)


def rewritten(artifact: Artifact, target: str) -> Artifact:
    manifest = replace(artifact.manifest, target=target)
    (artifact.directory / MANIFEST).write_text(manifest_json(manifest))
    return open_artifact(artifact.directory)


def test_a_foreign_target_is_refused(artifact: Artifact) -> None:
    rewritten(artifact, "aarch64")
    refused(artifact.directory, "lacks instructions of aarch64: all of another processor's")


def test_missing_instructions_are_named(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten(artifact, "x86-64-v4")
    monkeypatch.setattr(toolchain, "host_features", lambda: frozenset({"avx2", "fma"}))
    assert "avx512f" in refused(artifact.directory, "lacks instructions").what


def test_a_target_of_another_version_is_refused(artifact: Artifact) -> None:
    rewritten(artifact, "riscv")
    with pytest.raises(Exception, match="no target 'riscv'"):
        load_program(open_artifact(artifact.directory))


def test_what_does_not_fit_is_refused_before_it_is_loaded(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("loaded")

    memory = loading.plan_memory(artifact, n_blocks=4, n_threads=2)
    monkeypatch.setattr(loading, "Program", never)
    monkeypatch.setattr(loading, "read_weights", never)
    monkeypatch.setattr(loading, "available_bytes", lambda: memory.total - 1)
    with pytest.raises(DoesNotFit) as raised:
        load_program(artifact, n_threads=2)
    # one block less fits: 48 tokens
    assert "48 tokens of state would fit" in raised.value.remedy
    assert "are needed" in raised.value.what


def test_weights_that_alone_do_not_fit_are_said_so(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "available_bytes", lambda: artifact.manifest.weights_bytes)
    with pytest.raises(DoesNotFit) as raised:
        load_program(artifact, n_threads=2)
    assert "smaller format" in raised.value.remedy


def test_what_just_fits_is_loaded(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = loading.plan_memory(artifact, n_blocks=4, n_threads=2)
    monkeypatch.setattr(loading, "available_bytes", lambda: memory.total)
    loaded = load_program(artifact, n_threads=2)
    assert loaded.memory == memory
    loaded.program.close()


def test_available_memory_is_a_sane_figure() -> None:
    assert 2**20 < loading.available_bytes() < 2**50
