"""The command line in this process, and copies of models that a test may damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from foreknown.cli import main


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _apart_from_the_user(own_cache: Path) -> None:
    """No test reads or leaves anything in the user's cache, but for compiled objects."""


@pytest.fixture
def foreknown(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command line, given as its words."""

    def run(*words: object) -> Ran:
        capsys.readouterr()
        status = main([str(word) for word in words])
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


@pytest.fixture
def refused(foreknown: Callable[..., Ran]) -> Callable[..., str]:
    """Runs a command line that must fail with one clear message; gives the message."""

    def run(*words: object) -> str:
        ran = foreknown(*words)
        assert ran.status == 1, ran
        assert ran.out == ""
        assert ran.err.startswith("error: ")
        assert "to do: " in ran.err
        assert "Traceback" not in ran.err
        return ran.err

    return run


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def artifact(tiny_artifact: Path, tmp_path: Path) -> Path:
    """A copy of the tiny artifact."""
    return Path(shutil.copytree(tiny_artifact, tmp_path / "artifact"))
