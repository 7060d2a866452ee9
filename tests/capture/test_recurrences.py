"""Recurrences are proved, not believed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from foreknown.capture.recurrences import _match, exchanged, scan
from foreknown.errors import UnsupportedOp


def test_scan_is_what_the_graph_says() -> None:
    torch.manual_seed(0)
    decay, value = torch.rand(1, 5, 3, 2), torch.randn(1, 5, 3, 2)
    out, into = torch.randn(1, 5, 3), torch.randn(1, 5, 3)
    state, expected = torch.zeros(3, 2), []
    for t in range(5):
        state = decay[0, t] * state + value[0, t] + torch.outer(out[0, t], into[0, t] @ state)
        expected.append(state)
    torch.testing.assert_close(scan(decay, value, out, into)[0], torch.stack(expected))


def run(query, key, value, g, beta, chunk_size=4, initial_state=None):  # type: ignore[no-untyped-def]
    """A gated delta rule, token by token."""
    state = torch.zeros(*key.shape[:1], *key.shape[2:], value.shape[-1])
    rows = []
    for t in range(key.shape[1]):
        state = state * g[:, t].exp()[..., None, None]
        read = (state * key[:, t, :, :, None]).sum(-2)
        new = (value[:, t] - read) * beta[:, t, :, None]
        state = state + key[:, t, :, :, None] * new[..., None, :]
        rows.append((state * query[:, t, :, :, None]).sum(-2) * key.shape[-1] ** -0.5)
    return torch.stack(rows, 1), None


def run_otherwise(query, key, value, g, beta, chunk_size=4, initial_state=None):  # type: ignore[no-untyped-def]
    """The same arguments, another meaning."""
    result, state = run(query, key, value, g, 0.5 * beta)
    return result, state


class Layer(torch.nn.Module):
    def forward(self, x: torch.Tensor, other: bool = False) -> Any:
        heads = x.reshape(1, -1, 2, 4)
        gate = -functional.softplus(x[..., :2])
        function = run_otherwise if other else run
        return function(heads, heads, heads, g=gate, beta=x[..., :2].sigmoid())[0]


@pytest.mark.parametrize("other", [False, True], ids=["a recurrence", "no recurrence"])
def test_an_exchanged_function_is_compared(other: bool) -> None:
    layer, x = Layer(), torch.randn(1, 9, 8)
    plain = layer(x, other)
    with exchanged(layer) as recurrences:
        found = layer(x, other)
    assert len(recurrences.calls) == 1
    if other:
        with pytest.raises(UnsupportedOp, match="run_otherwise differs from its recurrence"):
            recurrences.prove()
    else:
        recurrences.prove()
        torch.testing.assert_close(found, plain)
    torch.testing.assert_close(layer(x, other), plain)


def test_other_functions_are_left_alone() -> None:
    assert _match(scan) is None
    assert _match(run) is not None
