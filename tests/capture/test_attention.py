"""Every argument that a model gives its attention is honoured, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from foreknown.capture import Captured
from foreknown.capture.attention import attend
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Node

Save = Callable[..., Path]
Exact = Callable[..., Captured]


def attends(captured: Captured) -> list[Node]:
    return [n for n in captured.graph.nodes if n.op == "attend"]


def attributes(captured: Captured, name: str) -> list[Any]:
    return [n.attrs[name] for n in attends(captured)]


def test_plain_with_shared_heads(save: Save, exact: Exact) -> None:
    captured = exact(save("llama"))
    assert [n.args[1].shape[1] for n in attends(captured)] == [2, 2]
    assert attributes(captured, "scale") == pytest.approx([8**-0.5] * 2)
    assert attributes(captured, "window") == attributes(captured, "chunk") == [None, None]


def test_scaling(save: Save, exact: Exact) -> None:
    captured = exact(save("granite", attention_multiplier=0.3))
    assert attributes(captured, "scale") == [0.3, 0.3]


def test_sliding_window(save: Save, exact: Exact) -> None:
    captured = exact(save("mistral", sliding_window=5))
    assert attributes(captured, "window") == [5, 5]


def test_a_window_wider_than_the_context_is_none(save: Save, exact: Exact) -> None:
    captured = exact(save("mistral", sliding_window=500))
    assert attributes(captured, "window") == [None, None]


def test_windows_and_full_attention_by_layer_with_soft_caps(save: Save, exact: Exact) -> None:
    captured = exact(
        save(
            "gemma2",
            sliding_window=6,
            attn_logit_softcapping=2.0,
            final_logit_softcapping=3.0,
            query_pre_attn_scalar=16,
        )
    )
    assert sorted(map(str, attributes(captured, "window"))) == ["6", "None"]
    assert attributes(captured, "softcap") == [2.0, 2.0]
    assert attributes(captured, "scale") == [0.25, 0.25]


def test_chunks(save: Save, exact: Exact) -> None:
    captured = exact(
        save(
            "llama4_text",
            attention_chunk_size=6,
            num_local_experts=2,
            intermediate_size_mlp=48,
            layer_types=["chunked_attention", "full_attention"],
            no_rope_layers=[1, 0],
        )
    )
    assert sorted(map(str, attributes(captured, "chunk"))) == ["6", "None"]


def test_sinks(save: Save, exact: Exact) -> None:
    captured = exact(save("gpt_oss", num_local_experts=4, num_experts_per_tok=2, sliding_window=6))
    assert attributes(captured, "sinks") == [True, True]
    assert {n.op for n in captured.graph.nodes} >= {"experts", "topk_indices"}


def test_slopes_written_out(save: Save, exact: Exact) -> None:
    captured = exact(save("bloom", n_head=4, n_layer=2))
    assert attributes(captured, "bias") == [True, True]


def test_written_out(save: Save, exact: Exact) -> None:
    captured = exact(save("gptj", n_embd=32, n_head=4, n_layer=2, rotary_dim=4, n_positions=64))
    assert len(attends(captured)) == 2


def test_windows_written_out(save: Save, exact: Exact) -> None:
    captured = exact(
        save(
            "gpt_neo",
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            window_size=5,
        )
    )
    assert attributes(captured, "window") == [None, 5]


def test_learned_positions(save: Save, exact: Exact) -> None:
    captured = exact(save("gpt2", n_embd=32, n_head=4, n_layer=2, n_positions=64))
    assert any(n.op == "take" and n.args[1].op == "positions" for n in captured.graph.nodes)


class Module(torch.nn.Module):
    """Stands for a model's attention layer."""


def test_an_unknown_argument_is_refused_by_name() -> None:
    x = torch.zeros(1, 2, 4, 8)
    with pytest.raises(UnsupportedOp, match="key_bias"):
        attend(Module(), x, x, x, None, key_bias=torch.ones(4))
    attention, _ = attend_shape(x, key_bias=None, position_ids=None)
    assert attention == (1, 4, 2, 8)


def attend_shape(x: torch.Tensor, **options: Any) -> tuple[tuple[int, ...], None]:
    with torch._subclasses.FakeTensorMode() as mode:
        fake = mode.from_tensor(x)
        result, weights = attend(Module(), fake, fake, fake, None, **options)
    assert weights is None
    return tuple(result.shape), None
