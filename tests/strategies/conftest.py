"""The engine's sampler, for strategies that run on an engine; what code may leave behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import build_sampler, library

__all__ = ["build_sampler", "library"]


@pytest.fixture
def nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever code does, its directory and its processes are gone afterwards."""
    here = tmp_path / "temporary"
    here.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(here))
    yield
    assert list(here.iterdir()) == []
