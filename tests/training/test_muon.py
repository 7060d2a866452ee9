"""The step of the matrices: singular values near one, whatever the gradient's were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 4, 16), (1, 16, 4)])
def test_brings_singular_values_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_keeps_the_directions() -> None:
    torch.manual_seed(2)
    left, _, right = torch.linalg.svd(torch.randn(6, 6))
    matrix = left @ torch.diag(torch.linspace(1, 2, 6)) @ right
    inner = left.mT @ orthogonal(matrix) @ right.mT
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-4


def test_a_zero_gradient_changes_nothing_but_decays() -> None:
    matrix = nn.Parameter(torch.ones(4, 4))
    matrix.grad = torch.zeros(4, 4)
    Muon([matrix], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(matrix, torch.full((4, 4), 0.95))


def _descended(resumes: bool) -> tuple[list[float], torch.Tensor]:
    """40 steps towards a matrix: the losses, and where they led."""
    torch.manual_seed(3)
    wanted, matrix = torch.randn(4, 8), nn.Parameter(torch.zeros(4, 8))
    optimizer, losses = Muon([matrix], lr=0.3, weight_decay=0.0), []
    for step in range(40):
        if step == 20 and resumes:
            resumed = Muon([matrix], lr=0.3, weight_decay=0.0)
            resumed.load_state_dict(optimizer.state_dict())
            optimizer = resumed
        loss = (matrix - wanted).square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return losses, matrix.detach()


def test_steps_lead_downhill() -> None:
    losses, _ = _descended(resumes=False)
    assert losses[-1] < 0.2 * losses[0]


def test_resumed_steps_are_the_same() -> None:
    assert torch.equal(_descended(resumes=True)[1], _descended(resumes=False)[1])
