"""The house: a folder of `src/foreknown` imports from folders above it, never from those below.

The list is the one in the design: data flows down it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "foreknown"

HOUSE = (
    "graph",
    "checkpoint",
    "capture",
    "passes",
    "machine",
    "plan",
    "targets",
    "artifact",
    "engine",
    "strategies",
    "server",
    "report",
    "evaluation",
    "cli",
)
EVERYONES = {"errors"}
"""Modules beside the folders that every folder may import."""

ONLY_IN_CAPTURE = {"torch", "transformers"}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, at the top or inside a function, with its line."""
    package = ["foreknown", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, module
            if module == "foreknown":
                for alias in node.names:
                    yield node.lineno, f"foreknown.{alias.name}"


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def folder(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def test_every_folder_has_its_place() -> None:
    folders = {folder(path) for path in files()} - {"", "bundled"}
    assert folders <= set(HOUSE), f"not in the house: {folders - set(HOUSE)}"


@pytest.mark.parametrize("name", HOUSE)
def test_imports_only_from_above(name: str) -> None:
    allowed = {*HOUSE[: HOUSE.index(name) + 1], *EVERYONES}
    below = []
    for path in files():
        if folder(path) != name:
            continue
        for line, module in imported(path):
            if module.startswith("foreknown."):
                other = module.split(".")[1]
                if other in {*HOUSE, *EVERYONES} and other not in allowed:
                    below.append(f"{path.relative_to(PACKAGE)}:{line} imports {module}")
    assert not below, "\n".join(below)


def test_only_capture_imports_the_training_stack() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line} imports {module}"
        for path in files()
        if folder(path) != "capture"
        for line, module in imported(path)
        if module.split(".")[0] in ONLY_IN_CAPTURE
    ]
    assert not found, "\n".join(found)


def test_the_test_sees_an_import_inside_a_function(tmp_path: Path) -> None:
    path = PACKAGE / "graph" / "ir.py"
    assert any(module == "foreknown.graph.ops" for _, module in imported(path))
