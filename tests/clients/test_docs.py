"""docs/clients.md does what it says: every block of Python and shell, against a server."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.serving import Served

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
ADDRESS = "http://127.0.0.1:8000"
SETTINGS = "extra-openai-models.yaml"


@dataclass(frozen=True)
class Block:
    """A fenced block and the heading it stands under."""

    heading: str
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found, heading = [], ""
    for match in re.finditer(
        r"^## ([^\n]+)$|^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    ):
        if match[1] is not None:
            heading = match[1]
        else:
            found.append(Block(heading, match[2], match[3]))
    return found


BLOCKS = blocks(PAGE.read_text("utf-8"))
EXECUTED = [block for block in BLOCKS if block.language in {"python", "bash"}]


def missing(block: Block) -> str | None:
    """A package or program that a block needs and this machine lacks."""
    if block.language == "bash":
        programs = {line.split()[0] for line in block.text.splitlines() if re.match(r"\w", line)}
        absent = (p for p in sorted(programs) if shutil.which(p, path=search_path()) is None)
        return next(absent, None)
    modules = set()
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return next((m for m in sorted(modules) if find_spec(m.split(".")[0]) is None), None)


def search_path() -> str:
    """PATH, with the programs of this environment first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def test_every_client_has_a_block_that_is_executed() -> None:
    assert {block.language for block in BLOCKS} <= {"python", "bash", "yaml", ""}
    headings = {block.heading for block in BLOCKS}
    assert headings - {block.heading for block in EXECUTED} == {"", "Open WebUI"}
    assert all(ADDRESS in block.text for block in EXECUTED if block.heading != "llm")


@pytest.mark.parametrize(
    "block", EXECUTED, ids=[f"{b.heading}-{b.language}-{i}" for i, b in enumerate(EXECUTED)]
)
def test_a_block_runs(block: Block, served: Served, tmp_path: Path) -> None:
    lacking = missing(block)
    if lacking is not None:
        pytest.skip(f"needs {lacking}")
    for other in BLOCKS:
        if other.language == "yaml" and other.heading == block.heading:
            (tmp_path / SETTINGS).write_text(other.text.replace(ADDRESS, served.url))
    program = [sys.executable, "-c"] if block.language == "python" else ["bash", "-euc"]
    done = subprocess.run(
        [*program, block.text.replace(ADDRESS, served.url)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        env={**os.environ, "PATH": search_path(), "LLM_USER_PATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert '"error"' not in done.stdout
