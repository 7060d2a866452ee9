"""What is imported for good is no longer looked through."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from foreknown.artifact.lasting import import_for_good

SOURCE = "kept = [[] for _ in range(1000)]\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a thousand objects, not imported yet."""
    (tmp_path / "lasting_example.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lasting_example", raising=False)
    return "lasting_example"


def test_an_import_lasts(module: str) -> None:
    before = gc.get_freeze_count()
    import_for_good(module)
    assert len(sys.modules[module].kept) == 1000
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    assert frozen >= before + 1000
    import_for_good(module)
    assert gc.get_freeze_count() == frozen


def test_a_collector_that_is_off_stays_off(module: str) -> None:
    gc.disable()
    try:
        import_for_good(module)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_failed_import_leaves_the_collector_as_it_was() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_for_good("there_is_no_such_module")
    assert gc.isenabled()
