"""Muon for matrices: momentum whose singular values are all brought near one before the step.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the scale of a step
is that of Liu et al., "Muon is Scalable for LLM Training", 2025, so that rates are those of AdamW.
torch's own brings matrices into order in bfloat16, which takes five times as long as forward and
backward together on a processor without instructions for it. Here it is done in float32, on all
matrices of one shape at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_MOMENTUM = 0.95
_RMS = 0.2
"""Of an update of AdamW, by Liu et al."""


class Muon(torch.optim.Optimizer):
    """Steps of `lr`, with decoupled weight decay and Nesterov momentum."""

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every matrix that has a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault(matrix.shape, []).append(matrix)
            for matrices in alike.values():
                self._change(matrices, group)

    def _change(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        wanted = orthogonal(torch.stack([self._with_momentum(matrix) for matrix in matrices]))
        step = group["lr"] * _RMS * max(matrices[0].shape) ** 0.5
        for matrix, change in zip(matrices, wanted, strict=True):
            matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change, alpha=step)

    def _with_momentum(self, matrix: nn.Parameter) -> Tensor:
        assert matrix.grad is not None
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"].lerp_(matrix.grad, 1 - _MOMENTUM)
        return matrix.grad.lerp(momentum, _MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """The matrices [..., rows, columns] with singular values near one, by Newton-Schulz steps."""
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if is_tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x
