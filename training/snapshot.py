"""What a run needs to go on where it stopped, written so that a crash never spoils it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.batches import Position
from training.optimizer import Optimizers

FILE = "snapshot.pt"


@dataclass
class Progress:
    """Where a run stands. The seed, the batch size and the position fix all data to come."""

    seed: int
    batch_tokens: int
    step: int = 0
    pool: int = 0
    pool_batches: int = 0
    tokens: int = 0
    learned_tokens: int = 0
    spent_s: float = 0.0

    @property
    def position(self) -> Position:
        return Position(self.pool, self.pool_batches)

    def with_batch_tokens(self, batch_tokens: int) -> Progress:
        """With another batch size, which begins at the next pool, so that no data comes twice."""
        if batch_tokens == self.batch_tokens:
            return self
        return replace(self, batch_tokens=batch_tokens, pool=self.pool + 1, pool_batches=0)


def save(run: Path, model: nn.Module, optimizers: Optimizers, progress: Progress) -> None:
    """Writes aside, then renames."""
    run.mkdir(parents=True, exist_ok=True)
    aside = run / f".{FILE}.{os.getpid()}"
    torch.save(
        {
            "model": model.state_dict(),
            "optimizers": optimizers.state_dict(),
            "progress": asdict(progress),
        },
        aside,
    )
    aside.replace(run / FILE)


def load(run: Path, device: str) -> dict[str, Any] | None:
    """The run's last snapshot, None if it has none. Tensors and numbers only, no pickled code."""
    path = run / FILE
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state
