"""Exit statuses, and what people see when something goes wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import foreknown as package
from foreknown.cli import main
from foreknown.cli.document import document
from foreknown.cli.main import COMMANDS
from foreknown.errors import ForeknownError


def test_version(foreknown: Callable[..., object], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"foreknown {package.__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "usage: foreknown" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["run"],
        ["run", "--prompt", "a", "--max-tokens", "0"],
        ["run", "--prompt", "a", "--threads", "many"],
        ["compile", "somewhere"],
        ["compile", "a", "-o", "b", "--weights", "int3"],
        ["compile", "a", "-o", "b", "--target", "z80"],
    ],
)
def test_a_command_line_without_sense(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage: foreknown" in capsys.readouterr().err


def test_an_error_has_its_traceback_on_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOREKNOWN_TRACEBACK", "1")
    with pytest.raises(ForeknownError):
        main(["run", str(tmp_path), "--prompt", "a"])


def test_a_reader_that_leaves_is_no_error_message(bundled_artifact: Path) -> None:
    command = [sys.executable, "-m", "foreknown", "inspect", str(bundled_artifact), "c"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_the_page_about_the_command_line_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text("utf-8") == document(), "make docs/cli.md"
