"""Law 8: no network, no pickle, no code from a checkpoint unless the user says so."""

from __future__ import annotations

import ast
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from foreknown.cli import main

PACKAGE = Path(__file__).parents[2] / "src" / "foreknown"

NETWORK = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "requests", "httpx", "aiohttp"}
MAY_LISTEN = {"server"}
UNPICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
RUNS_CODE = {"eval", "exec"}


def trees() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), ast.parse(path.read_text("utf-8"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_no_module_can_reach_the_network() -> None:
    found = [
        f"{path} imports {name}"
        for path, tree in trees()
        if path.parts[0] not in MAY_LISTEN
        for name in imports(tree)
        if name.split(".")[0] in NETWORK
    ]
    assert not found, "\n".join(found)


def test_nothing_is_unpickled() -> None:
    found = [
        f"{path} imports {name}"
        for path, tree in trees()
        for name in imports(tree)
        if name.split(".")[0] in UNPICKLES
    ]
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                found.append(f"{path}:{node.lineno} calls torch.load")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                found.append(f"{path}:{node.value.lineno} allows pickles")
    assert not found, "\n".join(found)


def test_no_text_is_run_as_python() -> None:
    found = [
        f"{path}:{node.lineno} calls {node.func.id}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in RUNS_CODE
    ]
    assert not found, "\n".join(found)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every way out raises, and is noted in case somebody catches it."""
    tried: list[str] = []

    def refuse(name: str) -> Any:
        def call(*given: object, **named: object) -> NoReturn:
            tried.append(f"{name}{given}")
            raise AssertionError(f"{name} was called")

        return call

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse(name), raising=False)
    for name in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse(name))
    return tried


def test_compiling_and_running_reach_nothing(
    tiny_checkpoint: Path,
    tmp_path: Path,
    no_network: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    artifact = str(tmp_path / "artifact")
    assert main(["compile", str(tiny_checkpoint), "-o", artifact]) == 0
    assert main(["run", artifact, "--prompt", "Hi", "--max-tokens", "2"]) == 0
    assert main(["inspect", artifact, "phases"]) == 0
    assert no_network == []


CODE = """
from transformers import {Base}Config, {Base}ForCausalLM

open({marker!r}, "w").close()


class OwnConfig({Base}Config):
    model_type = "own"


class OwnModel({Base}ForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def with_code(tiny_checkpoint: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint that brings its own code, and a file that shows that the code was run."""
    directory, marker = tmp_path / "with-code", tmp_path / "was-run"
    shutil.copytree(tiny_checkpoint, directory)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    base = config["architectures"][0].removesuffix("ForCausalLM")
    (directory / "modeling_own.py").write_text(CODE.format(Base=base, marker=str(marker)))
    config.update(
        model_type="own",
        architectures=["OwnModel"],
        auto_map={
            "AutoConfig": "modeling_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnModel",
        },
    )
    path.write_text(json.dumps(config))
    return directory, marker


def test_code_is_refused_unless_trusted(
    with_code: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, marker = with_code
    words = ["compile", str(directory), "-o", str(tmp_path / "artifact")]
    assert main(words) == 1
    assert "--trust-checkpoint-code" in capsys.readouterr().err
    assert not marker.exists()
    assert main([*words, "--trust-checkpoint-code"]) == 0
    assert marker.exists()
    run = ["run", str(tmp_path / "artifact"), "--prompt", "Hi", "--max-tokens", "2"]
    marker.unlink()
    assert main(run) == 0
    assert not marker.exists()
