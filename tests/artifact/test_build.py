"""Artifacts are written whole or not at all, and reuse what is already there."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from foreknown.artifact import build
from foreknown.artifact.build import Options, compile_checkpoint
from foreknown.artifact.format import MANIFEST, OBJECT, PLAN, SOURCE, WEIGHTS, open_artifact
from foreknown.artifact.loading import load_program
from foreknown.checkpoint import Pooling, open_checkpoint
from foreknown.errors import ArtifactError, CheckpointError
from foreknown.graph.batch import single
from foreknown.graph.interpret import run
from foreknown.graph.state import State
from tests.artifact.conftest import GRAPH, Compile, write_checkpoint
from tests.executors import random_weights


def left_over(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir() if p.name != "checkpoint")


def step(destination: Path) -> bytes:
    loaded = load_program(open_artifact(destination), n_threads=2)
    with loaded.program as program:
        return program.step(single([5, 1, 60, 2])).tobytes()


def test_an_artifact_computes_what_its_checkpoint_means(compile_it: Compile) -> None:
    import numpy as np

    batch = single([5, 1, 60, 2])
    expected = run(GRAPH, batch, random_weights(GRAPH), State(1))
    with load_program(open_artifact(compile_it().directory), n_threads=2).program as program:
        found = {"logits": program.step(batch), "hidden": program.hidden(4)}
        for name, value in expected.items():
            largest = float(np.abs(value).max())
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5 * largest)


def test_how_embeddings_are_pooled_is_kept(checkpoint: Path, compile_it: Compile) -> None:
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [{"path": f"{i}_{k}", "type": f"models.{k}"} for i, k in enumerate(kinds)]
    (checkpoint / "modules.json").write_text(json.dumps(modules))
    (checkpoint / "1_Pooling").mkdir()
    pooling = checkpoint / "1_Pooling" / "config.json"
    pooling.write_text('{"pooling_mode": "max"}')
    with pytest.raises(CheckpointError, match="pooled by max"):
        compile_it()
    pooling.write_text('{"pooling_mode": "lasttoken"}')
    copy = open_checkpoint(compile_it().checkpoint_directory)
    assert copy.pooling == Pooling("last", normalise=True)


def test_what_compile_returns_is_what_lies_there(compile_it: Compile) -> None:
    artifact = compile_it()
    assert open_artifact(artifact.directory) == artifact
    assert left_over(artifact.directory.parent) == ["artifact"]
    assert {MANIFEST, PLAN, SOURCE, OBJECT, WEIGHTS} < set(os.listdir(artifact.directory))
    phases = artifact.phases()
    assert len(phases) == artifact.manifest.sizes.n_phases
    assert sum(p.cost.flops.at(tokens=1, rows=1, context=1) for p in phases) > 0


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), RuntimeError("no"), OSError(errno.ENOSPC, "full")]
)
@pytest.mark.parametrize(
    "where",
    [
        "build.pack",
        "build.manifest_json",
        "build.plan_record",
        "build.file_digest",
        "destination._sync",
    ],
)
def test_an_interrupted_compile_leaves_nothing(
    compile_it: Compile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: BaseException,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(f"foreknown.artifact.{where}", fail)
    expected = ArtifactError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        compile_it()
    assert left_over(tmp_path) == []


def test_an_interrupted_compile_leaves_the_earlier_artifact(
    compile_it: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = compile_it()
    before = step(artifact.directory)
    rename = Path.rename

    def fail_at_the_end(self: Path, target: Path) -> Path:
        if "partial" in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        compile_it(weights="f32")
    assert left_over(tmp_path) == ["artifact"]
    assert open_artifact(artifact.directory).manifest.weights == "as stored"
    assert step(artifact.directory) == before


def test_a_full_disk_is_refused_before_anything_is_written(
    compile_it: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(ArtifactError, match="MiB are needed") as raised:
        compile_it()
    assert raised.value.remedy
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "no permission")],
)
def test_what_the_system_refuses_is_said_plainly(
    compile_it: Compile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    says: str,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(build, "_weights", fail)
    with pytest.raises(ArtifactError, match=says) as raised:
        compile_it()
    assert raised.value.remedy
    assert left_over(tmp_path) == []


def test_a_destination_that_is_no_artifact_is_left_alone(
    compile_it: Compile, tmp_path: Path
) -> None:
    folder, file, empty = tmp_path / "folder", tmp_path / "file", tmp_path / "empty"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    file.write_text("mine")
    empty.mkdir()
    for occupied in (folder, file):
        with pytest.raises(ArtifactError, match="left alone"):
            compile_it(occupied)
    assert (folder / "thesis.txt").read_text() == file.read_text() == "mine"
    assert open_artifact(compile_it(empty).directory)


def test_a_second_compile_reuses_the_weights(
    compile_it: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compile_it()
    inode = (first.directory / WEIGHTS).stat().st_ino
    before = step(first.directory)

    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("packed again")

    monkeypatch.setattr(build, "pack", fail)
    second = compile_it(max_tokens=32)
    assert second.manifest.sizes.max_tokens == 32
    assert (second.directory / WEIGHTS).stat().st_ino == inode
    assert step(second.directory) == before


def test_the_same_compile_again_is_up_to_date(
    compile_it: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compile_it()

    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("captured again")

    monkeypatch.setattr(build, "_capture", fail)
    assert compile_it().manifest == first.manifest


def test_other_weights_formats_or_tensors_are_packed_anew(
    compile_it: Compile, checkpoint: Path
) -> None:
    first = compile_it().manifest
    wide = compile_it(weights="f32").manifest
    assert wide.weights_checksum != first.weights_checksum
    shutil.rmtree(checkpoint)
    write_checkpoint(checkpoint, seed=1)
    other = compile_it().manifest
    assert other.weights_checksum != first.weights_checksum
    assert other.weights_origin != first.weights_origin


def test_damaged_weights_are_not_reused(compile_it: Compile) -> None:
    artifact = compile_it()
    path = artifact.directory / WEIGHTS
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(bytes(data))
    again = compile_it()
    assert again.manifest.weights_checksum == artifact.manifest.weights_checksum
    assert step(again.directory)


def test_the_same_checkpoint_gives_the_same_files(compile_it: Compile, tmp_path: Path) -> None:
    one, two = compile_it(tmp_path / "one"), compile_it(tmp_path / "two")
    assert one.manifest.files == two.manifest.files
    assert one.manifest.weights_checksum == two.manifest.weights_checksum


def test_no_target_of_that_name(checkpoint: Path, tmp_path: Path) -> None:
    from foreknown.errors import ToolchainError

    with pytest.raises(ToolchainError, match="there is no target"):
        compile_checkpoint(checkpoint, tmp_path / "artifact", Options(target="z80"))


def test_an_artifact_can_be_built_for_another_machine(compile_it: Compile) -> None:
    artifact = compile_it(target="aarch64")
    assert artifact.manifest.target == "aarch64"
    with pytest.raises(
        ArtifactError, match="lacks instructions of aarch64: all of another processor's"
    ):
        load_program(open_artifact(artifact.directory))


def test_a_weight_that_is_no_number_leaves_nothing(
    compile_it: Compile, checkpoint: Path, tmp_path: Path
) -> None:
    path = checkpoint / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-2:] = b"\xc0\x7f"  # the last weight in bf16: NaN
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="NaN"):
        compile_it()
    assert left_over(tmp_path) == []
