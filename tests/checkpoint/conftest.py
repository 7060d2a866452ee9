"""Where the shared test data lies, and makers of small checkpoints."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared data: $FOREKNOWN_SHARED, or shared/data beside the checkout."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    found = Path(os.environ.get("FOREKNOWN_SHARED", default))
    if not found.is_dir():
        pytest.skip(f"the shared test data is absent ({found}); set FOREKNOWN_SHARED to it")
    return found


class FileMaker:
    """Writes small checkpoint files into one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def json(self, name: str, value: Any) -> Path:
        return self.text(name, json.dumps(value))

    def text(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def safetensors(
        self, name: str, header: dict[str, Any] | str, weights: bytes = b"", length: int = -1
    ) -> Path:
        """A file with this header, right or wrong; `length` is what it announces."""
        encoded = (header if isinstance(header, str) else json.dumps(header)).encode()
        path = self.directory / name
        count = len(encoded) if length < 0 else length
        path.write_bytes(struct.pack("<Q", count) + encoded + weights)
        return path


@pytest.fixture
def make(tmp_path: Path) -> FileMaker:
    return FileMaker(tmp_path)
