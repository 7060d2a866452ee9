"""A run may begin with the weights and the tokenizer of a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training import snapshot
from training.schedule import Schedule
from training.snapshot import Progress
from training.train import train

_BUNDLED = Path(__file__).parents[2] / "src/foreknown/bundled"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A run that is asked to end saves first; pytest ends at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_run_begins_where_a_checkpoint_ends(tmp_path: Path) -> None:
    over_at_once = Schedule(0.0)
    train(tmp_path, _BUNDLED, over_at_once, Progress(1, 256), "cpu", 0, 60.0, compiled=False)
    saved = snapshot.load(tmp_path, "cpu")
    assert saved is not None
    for name, tensor in load_file(_BUNDLED / "model.safetensors").items():
        assert torch.equal(saved["model"][name], tensor.float())
    assert (tmp_path / "tokenizer.json").read_bytes() == (_BUNDLED / "tokenizer.json").read_bytes()
