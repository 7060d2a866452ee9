"""The judge of coverage: exact, refused, wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foreknown.capture import Captured
from foreknown.capture.coverage import (
    Step,
    _same_choices,
    cover_all,
    cover_checkpoint,
    interpreted,
)

Save = Callable[..., Path]


def test_exact(save: Save) -> None:
    found = cover_checkpoint("any", save("llama", vocab_size=256))
    assert (found.status, found.reason) == ("exact", "")
    assert found.max_abs_err is not None
    assert found.max_abs_err < 1e-4


def test_an_executor_that_forgets_is_wrong(save: Save) -> None:
    def forgetful(captured: Captured, n_blocks: int) -> Step:
        step = interpreted(captured, n_blocks)

        def wrong(batch: Any) -> Any:
            logits = step(batch)
            return logits if len(batch.rows) > 1 else logits + 0.01 * np.abs(logits).max()

        return wrong

    found = cover_checkpoint("any", save("llama", vocab_size=256), forgetful)
    assert found.status == "wrong"
    assert "alone: differs by 9.3e-03 at token 24" in found.reason


def test_refused(save: Save) -> None:
    directory = save("llama", vocab_size=256)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(
        json.dumps({**config, "hidden_size": 48, "head_dim": 12})
    )
    found = cover_checkpoint("any", directory)
    assert found.status == "refused"
    assert "config.json calls for" in found.reason


def test_ties_may_fall_either_way() -> None:
    expected = np.asarray([[1.0, 1.0, 0.0]])
    assert _same_choices(np.asarray([[1.0, 1.0000001, 0.0]]), expected)
    assert not _same_choices(np.asarray([[1.0, 0.9, 1.1]]), expected)


def test_each_type_runs_apart() -> None:
    code = """
import sys, json
if sys.argv[1] == "b":
    sys.exit("gone wrong")
print(json.dumps(dict(model_type="a", status="exact", max_abs_err=0.0, seconds=1, reason="")))
"""
    found = list(cover_all(["a", "b"], [sys.executable, "-c", code], jobs=2))
    assert [f.status for f in found] == ["exact", "refused"]
    assert found[1].reason == "stopped with: gone wrong"


def test_a_type_that_takes_too_long_is_refused() -> None:
    code = "import time; time.sleep(60)"
    (found,) = cover_all(["a"], [sys.executable, "-c", code], timeout_s=0.5)
    assert (found.status, found.reason) == ("refused", "not done in 0 s")
