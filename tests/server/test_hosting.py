"""Several models in one server: together they fit, or nothing is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from foreknown.artifact import open_artifact
from foreknown.errors import DoesNotFit
from foreknown.server.hosting import Wanted, load_models


def test_models_that_do_not_fit_together_are_refused(tiny_artifact: Path) -> None:
    artifact = open_artifact(tiny_artifact)
    wanted = [Wanted("a", artifact, 4), Wanted("b", artifact, 8)]
    total = sum(one.memory(1).total for one in wanted)
    for model in load_models(wanted, 1, available=lambda: total):
        model.loaded.program.close()
    with pytest.raises(DoesNotFit) as caught:
        load_models(wanted, 1, available=lambda: total - 1)
    message = str(caught.value)
    assert "GiB are needed" in message
    assert "a " in message
    assert "b " in message
    assert "--sequences 3" in message, "what would fit"


def test_weights_alone_may_not_fit(tiny_artifact: Path) -> None:
    wanted = [Wanted("a", open_artifact(tiny_artifact), 1)]
    with pytest.raises(DoesNotFit, match="serve fewer models"):
        load_models(wanted, 1, available=lambda: 1000)
