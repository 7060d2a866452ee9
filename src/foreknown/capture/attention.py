"""Our attention function for transformers: one opaque operator that keeps every argument.

`foreknown::attend` stands in the exported graph where a model attends; `lower` turns it into the
IR's `attend`. The mask that goes with it is computed in the open, from a marked row of query
positions, so that `lower` can recognise it by its values, whatever function made it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import (
    and_masks,
    causal_mask_function,
    padding_mask_function,
    prepare_padding_mask,
)

from foreknown.errors import UnsupportedOp

IMPLEMENTATION = "foreknown"

# Arguments of attention functions that change nothing of the result: caches, and what flash
# attention needs to know of packed sequences (of which an export has one).
_WITHOUT_EFFECT = frozenset(
    "cache_position position_ids use_cache output_attentions output_hidden_states return_dict "
    "output_router_logits past_key_values past_key_value deterministic cu_seq_lens_q "
    "cu_seq_lens_k max_length_q max_length_k logits_to_keep position_embeddings layer_idx "
    "hidden_states".split()
)

torch.library.define(
    "foreknown::attend",
    "(Tensor query, Tensor key, Tensor value, Tensor? mask, Tensor? sinks, Tensor? bias, *, "
    "float scale, float softcap, int window, bool causal) -> Tensor",
)
torch.library.define("foreknown::query_positions", "(Tensor positions) -> Tensor")


@torch.library.register_fake("foreknown::attend")  # type: ignore[untyped-decorator]
def _attend_shape(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    sinks: torch.Tensor | None,
    bias: torch.Tensor | None,
    *,
    scale: float,
    softcap: float,
    window: int,
    causal: bool,
) -> torch.Tensor:
    return query.new_empty(query.shape[0], query.shape[2], query.shape[1], value.shape[3])


@torch.library.impl("foreknown::query_positions", "CompositeExplicitAutograd")
def _query_positions(positions: torch.Tensor) -> torch.Tensor:
    return positions.clone()


@torch.library.register_fake("foreknown::query_positions")  # type: ignore[untyped-decorator]
def _query_positions_shape(positions: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(positions)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of queries, keys and values [1, heads, tokens, width]: [1, tokens, heads, width].

    Raises:
        UnsupportedOp: an argument is given whose meaning is not known.
    """
    strange = sorted(
        name for name, value in others.items() if value is not None and name not in _WITHOUT_EFFECT
    )
    if "sinks" in strange and s_aux is None:
        s_aux = others["sinks"]
        strange.remove("sinks")
    if strange:
        raise UnsupportedOp(
            f"attention with the argument {', '.join(strange)}",
            where=type(module).__name__,
            remedy="no meaning of this argument is known to Foreknown yet",
        )
    if scaling is None:
        scaling = float(query.shape[-1]) ** -0.5
    if is_causal is None:
        is_causal = bool(getattr(module, "is_causal", True))
    # As in transformers' own functions, a mask replaces the module's causality.
    causal = is_causal and attention_mask is None
    result = torch.ops.foreknown.attend(
        query,
        key,
        value,
        attention_mask,
        s_aux,
        position_bias,
        scale=float(scaling),
        softcap=float(softcap or 0.0),
        window=int(sliding_window or 0) if attention_mask is None else 0,
        causal=causal,
    )
    return result, None


def mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    **kwargs: Any,
) -> torch.Tensor:
    """The mask that eager attention adds, [1, 1, tokens, tokens]: 0 or, where hidden, the least."""
    padding = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    if padding is not None:
        mask_function = and_masks(mask_function, padding_mask_function(padding))
    query = torch.ops.foreknown.query_positions(torch.arange(q_length, device=device)) + q_offset
    key = torch.arange(kv_length, device=device) + kv_offset
    zero = torch.zeros(1, dtype=torch.long, device=device)
    visible = mask_function(
        zero[:, None, None, None],
        zero[None, :, None, None],
        query[None, None, :, None],
        key[None, None, None, :],
    )
    least = torch.finfo(dtype).min
    return torch.where(visible, torch.zeros((), device=device, dtype=dtype), least)


AttentionInterface.register(IMPLEMENTATION, attend)
AttentionMaskInterface.register(IMPLEMENTATION, mask)
