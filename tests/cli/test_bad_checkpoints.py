"""What can be wrong with a checkpoint or a destination: one message, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from foreknown.artifact import build
from foreknown.cli import main

WEIGHTS = "model.safetensors"
DOWN = "model.layers.0.mlp.down_proj.weight"
Refused = Callable[..., str]


@pytest.fixture
def refused_compile(refused: Refused, checkpoint: Path, tmp_path: Path) -> Callable[[], str]:
    """Compiles the (damaged) checkpoint, and looks at what is left behind."""

    def run() -> str:
        place = tmp_path / "place"
        place.mkdir()
        said = refused("compile", checkpoint, "-o", place / "artifact")
        assert list(place.iterdir()) == []
        return said

    return run


def change_weights(checkpoint: Path, change: Callable[[dict[str, Any]], None]) -> None:
    tensors = load_file(checkpoint / WEIGHTS)
    change(tensors)
    save_file(tensors, checkpoint / WEIGHTS, {"format": "pt"})


def change_config(checkpoint: Path, **values: object) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_missing_weights(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    (checkpoint / WEIGHTS).unlink()
    assert str(checkpoint) in refused_compile()


def test_a_missing_shard(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    tensors = load_file(checkpoint / WEIGHTS)
    (checkpoint / WEIGHTS).unlink()
    shards = {name: f"model-0000{1 + (name == DOWN)}-of-00002.safetensors" for name in tensors}
    first = {name: tensor for name, tensor in tensors.items() if name != DOWN}
    save_file(first, checkpoint / "model-00001-of-00002.safetensors", {"format": "pt"})
    index = {"metadata": {}, "weight_map": shards}
    (checkpoint / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002.safetensors" in refused_compile()


def test_a_truncated_shard(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    os.truncate(checkpoint / WEIGHTS, (checkpoint / WEIGHTS).stat().st_size - 1000)
    assert WEIGHTS in refused_compile()


def test_a_tensor_of_the_wrong_shape(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    change_weights(checkpoint, lambda t: t.update({DOWN: t[DOWN][:, :-1].copy()}))
    said = refused_compile()
    assert DOWN in said
    assert "63" in said
    assert "64" in said


def test_a_tensor_of_the_wrong_dtype(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    change_weights(checkpoint, lambda t: t.update({DOWN: t[DOWN].astype(np.int64)}))
    assert DOWN in refused_compile()


def test_a_config_that_wants_more_layers(
    checkpoint: Path, refused_compile: Callable[[], str]
) -> None:
    change_config(checkpoint, num_hidden_layers=2)
    assert "model.layers.1." in refused_compile()


def test_a_config_of_another_width(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    change_config(checkpoint, hidden_size=64)
    assert "weight" in refused_compile()


def test_a_config_that_is_no_json(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    (checkpoint / "config.json").write_text('{"model_type": ')
    assert "config.json" in refused_compile()


def test_a_config_of_an_unknown_type(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    change_config(checkpoint, model_type="unheard-of")
    assert "unheard-of" in refused_compile()


def test_a_corrupt_tokenizer(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    path = checkpoint / "tokenizer.json"
    path.write_text(path.read_text()[:1000])
    assert "tokenizer.json" in refused_compile()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(
    checkpoint: Path, refused_compile: Callable[[], str], value: float
) -> None:
    def damage(tensors: dict[str, Any]) -> None:
        tensors[DOWN][3, 5] = value

    change_weights(checkpoint, damage)
    said = refused_compile()
    assert "not a finite number" in said
    assert DOWN in said


def test_code_is_not_run_unasked(checkpoint: Path, refused_compile: Callable[[], str]) -> None:
    marker = checkpoint / "was-run"
    (checkpoint / "modeling_own.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    change_config(
        checkpoint,
        model_type="own",
        auto_map={
            "AutoConfig": "modeling_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnModel",
        },
    )
    assert "--trust-checkpoint-code" in refused_compile()
    assert not marker.exists()


def test_no_checkpoint_there(refused: Refused, tmp_path: Path) -> None:
    assert "does not exist" in refused("compile", tmp_path / "nothing", "-o", tmp_path / "artifact")


def test_a_destination_that_is_no_artifact(
    refused: Refused, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter-1.txt").write_text("years of work")
    assert "left alone" in refused("compile", tiny_checkpoint, "-o", thesis)
    assert (thesis / "chapter-1.txt").read_text() == "years of work"
    assert "left alone" in refused("compile", tiny_checkpoint, "-o", thesis / "chapter-1.txt")


def test_a_disk_that_says_it_is_too_small(
    refused_compile: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1 << 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "are free on the disk" in refused_compile()


def test_a_disk_that_becomes_full(
    refused_compile: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack(*given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(build, "pack", pack)
    assert "the disk is full" in refused_compile()


def test_a_read_only_destination(
    refused: Refused, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, mkdir = tmp_path / "place", Path.mkdir
    place.mkdir()

    def refusing(self: Path, *given: Any, **named: Any) -> None:
        if self.parent == place:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        mkdir(self, *given, **named)

    monkeypatch.setattr(Path, "mkdir", refusing)
    said = refused("compile", tiny_checkpoint, "-o", place / "artifact")
    assert "read-only" in said
    assert list(place.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB, where this system lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk takes rights that this user lacks")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_real_disk_that_is_too_small(
    refused: Refused, tiny_checkpoint: Path, small_disk: Path
) -> None:
    said = refused("compile", tiny_checkpoint, "-o", small_disk / "artifact")
    assert "disk" in said
    assert list(small_disk.iterdir()) == []


def test_a_real_disk_that_is_read_only(
    refused: Refused, tiny_checkpoint: Path, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = refused("compile", tiny_checkpoint, "-o", small_disk / "artifact")
    assert "read-only" in said


def test_an_interrupted_compile_leaves_nothing(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def pack(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "pack", pack)
    place = tmp_path / "place"
    assert main(["compile", str(tiny_checkpoint), "-o", str(place / "artifact")]) == 130
    assert capsys.readouterr().err.strip() == "stopped"
    assert list(place.iterdir()) == []


def test_a_failed_compile_leaves_the_old_artifact(
    refused: Refused, checkpoint: Path, artifact: Path
) -> None:
    before = (artifact / "manifest.json").read_text()
    change_weights(checkpoint, lambda t: t.pop(DOWN))
    assert DOWN in refused("compile", checkpoint, "-o", artifact)
    assert (artifact / "manifest.json").read_text() == before
    assert main(["run", str(artifact), "--prompt", "Hi", "--max-tokens", "1"]) == 0


def test_ctrl_c_in_the_middle_of_a_compile(tiny_checkpoint: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    command = ["compile", str(tiny_checkpoint), "-o", str(place / "artifact")]
    with subprocess.Popen(
        [sys.executable, "-m", "foreknown", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # whatever started the tests may have had interrupts ignored, which children inherit
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 120
        maps = Path(f"/proc/{process.pid}/maps")
        while "libtorch_cpu" not in maps.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert out == ""
    assert err.strip() == "stopped"
    assert not place.exists()


def test_a_calibration_text_that_is_not_there(
    refused: Callable[..., str], checkpoint: Path, tmp_path: Path
) -> None:
    words = ("compile", checkpoint, "-o", tmp_path / "a", "--weights", "int4")
    assert "calibration text" in refused(*words, "--calibration", tmp_path / "none.txt")
