"""Our experts function for transformers' interface: gathered products that stay whole in the graph.

`foreknown::experts(x, w, index)` multiplies each token (or each chosen token) with the matrix of
each expert chosen for it, [tokens, chosen, out]; `lower` turns it into the IR's `experts`.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from foreknown.capture.attention import IMPLEMENTATION

torch.library.define("foreknown::experts", "(Tensor x, Tensor w, Tensor index) -> Tensor")


@torch.library.register_fake("foreknown::experts")  # type: ignore[untyped-decorator]
def _experts_shape(x: torch.Tensor, w: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return x.new_empty(index.shape[0], index.shape[1], w.shape[1])


def experts(
    module: Any,
    hidden_states: torch.Tensor,
    top_k_index: torch.Tensor,
    top_k_weights: torch.Tensor,
) -> torch.Tensor:
    """The weighted sum over the chosen experts of x [tokens, width], as transformers defines it."""
    name = "gate_up_proj" if module.has_gate else "up_proj"
    y = _product(module, name, hidden_states, top_k_index)
    y = y.reshape(-1, y.shape[-1])  # the gate is written for rows
    y = module._apply_gate(y) if module.has_gate else module.act_fn(y)
    y = y.reshape(hidden_states.shape[0], top_k_index.shape[1], y.shape[-1])
    y = _product(module, "down_proj", y, top_k_index)
    if module.has_post_expert_norm:
        y = module.post_expert_norm(y)
    return (y * top_k_weights.unsqueeze(-1)).sum(dim=1).to(hidden_states.dtype)


def _product(module: Any, name: str, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    w = getattr(module, name)
    if module.is_transposed:
        w = w.transpose(1, 2)
    y: torch.Tensor = torch.ops.foreknown.experts(x, w, index)
    if module.has_bias:
        bias = torch.nn.functional.embedding(index, getattr(module, f"{name}_bias"))
        y = y + bias
    return y


ALL_EXPERTS_FUNCTIONS.register(IMPLEMENTATION, experts)
