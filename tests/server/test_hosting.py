"""Several models in one server: together they fit, or nothing is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foreknown.artifact import open_artifact
from foreknown.errors import ArtifactError, DoesNotFit
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


def test_an_artifact_of_ours_that_is_damaged_is_made_anew(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_artifact, damaged)
    weights = bytearray((damaged / "weights.bin").read_bytes())
    weights[100] ^= 1
    (damaged / "weights.bin").write_bytes(weights)
    with pytest.raises(ArtifactError, match="damaged"):
        load_models([Wanted("a", open_artifact(damaged), 1)], 1)
    again = Wanted("a", open_artifact(damaged), 1, again=lambda: open_artifact(tiny_artifact))
    (model,) = load_models([again], 1)
    assert model.artifact.directory == tiny_artifact
    model.loaded.program.close()
