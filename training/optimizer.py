"""Muon for the matrices of the layers, AdamW for the embedding and the norms."""

from __future__ import annotations

import torch
from torch import nn

from training.muon import Muon

_MUON_RATE = 6e-3
_ADAM_RATE = 3e-3
_WEIGHT_DECAY = 0.05


class Optimizers:
    """Both optimizers as one: `step` with a rate factor, and a state to save."""

    def __init__(self, model: nn.Module) -> None:
        matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "layers" in n]
        others = [p for n, p in model.named_parameters() if p.dim() != 2 or "layers" not in n]
        self.muon = Muon(matrices, lr=_MUON_RATE, weight_decay=_WEIGHT_DECAY)
        self.adam = torch.optim.AdamW(others, lr=_ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0)

    def step(self, rate: float) -> None:
        for optimizer, base in ((self.muon, _MUON_RATE), (self.adam, _ADAM_RATE)):
            for group in optimizer.param_groups:
                group["lr"] = base * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, object]:
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, dict[str, object]]) -> None:
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
