"""Tiny checkpoints: what is written runs, is causal, is nowhere trivial and comes back the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: E402

from foreknown.capture.reference import (  # noqa: E402
    causality_error,
    eager_logits,
    load_eager,
    relative_error,
)
from foreknown.capture.tiny import (  # noqa: E402
    FIRST_PLAIN_TOKEN,
    MAX_PARAMETERS,
    PLAIN_TOKENS,
    causal_lm_types,
    make_tiny_checkpoint,
    plain_tokens,
    tiny_config,
    trial_sequences,
)
from foreknown.errors import CaptureError  # noqa: E402

FAMILIES = (
    "llama",  # grouped heads, rotary positions
    "gpt2",  # learned positions, matrices stored transposed
    "bloom",  # position biases, no attention interface
    "bert",  # an encoder that is told to be a decoder
    "gemma3_text",  # windows, two kinds of rotary positions
    "gpt_oss",  # sinks, experts
    "deepseek_v3",  # latent attention, grouped routing, a dense layer first
    "mamba2",  # a recurrence alone
    "jamba",  # recurrences, attention and experts in turn
    "qwen3_5",  # a composite with a text part; gated delta nets
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def fingerprint(directory: Path) -> str:
    return hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()


def test_every_type_is_listed_once() -> None:
    types = causal_lm_types()
    assert len(types) == len(set(types)) >= 150
    assert set(FAMILIES) < set(types) <= set(CONFIG_MAPPING)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_checkpoint_runs_and_is_causal(model_type: str, tmp_path: Path) -> None:
    make_tiny_checkpoint(model_type, tmp_path)
    model = load_eager(tmp_path)
    assert sum(p.numel() for p in model.parameters()) < MAX_PARAMETERS
    for name, p in model.named_parameters():
        assert p.numel() == 1 or float(p.detach().std()) > 0, f"{name} is constant"
    tokens = trial_sequences()[1][:33]
    # Only the order of additions may differ between a prefix and the whole.
    assert causality_error(model, tokens, (1, 12, 30)) < 1e-5
    (logits,) = eager_logits(tmp_path, [tokens])
    assert logits.dtype == np.float32
    assert logits.shape[0] == len(tokens)
    assert 0.3 < float(logits.std()) < 3


def test_sequences_run_alone(tmp_path: Path) -> None:
    make_tiny_checkpoint("llama", tmp_path)
    first, second = plain_tokens(9, seed=1), plain_tokens(17, seed=2)
    together = eager_logits(tmp_path, [first, second])
    np.testing.assert_array_equal(together[0], eager_logits(tmp_path, [first])[0])
    np.testing.assert_array_equal(together[1], eager_logits(tmp_path, [second])[0])


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 7)):
        make_tiny_checkpoint("mixtral", tmp_path / name, seed)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "c")


def test_relations_of_the_default_hold_when_tiny() -> None:
    config = tiny_config("llama")
    assert config.num_attention_heads * config.head_dim == config.hidden_size
    assert config.vocab_size == FIRST_PLAIN_TOKEN + PLAIN_TOKENS + 48
    config = tiny_config("mamba2")
    assert config.num_heads * config.head_dim == config.expand * config.hidden_size


def test_windows_are_shorter_than_the_trials() -> None:
    assert tiny_config("mistral").sliding_window == 8


@pytest.mark.parametrize(
    ("model_type", "field", "kinds"),
    [
        ("gemma3_text", "layer_types", {"sliding_attention", "full_attention"}),
        ("bamba", "layer_types", {"linear_attention", "full_attention"}),
        ("lfm2_moe", "layer_types", {"conv", "full_attention"}),  # its default names no kinds
        ("glm4_moe_lite", "mlp_layer_types", {"dense", "sparse"}),
    ],
)
def test_every_kind_of_layer_is_kept(model_type: str, field: str, kinds: set[str]) -> None:
    config = tiny_config(model_type)
    assert config.num_hidden_layers <= 6
    assert set(getattr(config, field)) == kinds


def test_special_tokens_lie_inside_the_vocabulary_and_outside_the_plain_ones() -> None:
    config = tiny_config("gemma3")
    text = config.get_text_config()
    plain = range(FIRST_PLAIN_TOKEN, FIRST_PLAIN_TOKEN + PLAIN_TOKENS)
    for token in (text.bos_token_id, text.pad_token_id, config.image_token_id):
        assert 0 <= token < text.vocab_size
        assert token not in plain
    assert set(plain_tokens(1000, seed=0)) <= set(plain)


def test_a_model_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="not causal"):
        make_tiny_checkpoint("cpmant", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_that_does_not_run_is_refused_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"cannot be built: .*must be 0"):
        make_tiny_checkpoint("gemma4_assistant", tmp_path)


def test_relative_error_is_a_share_of_the_largest() -> None:
    assert relative_error([1.0, 4.5], [1.0, 5.0]) == pytest.approx(0.1)
    assert relative_error([0.0], [0.0]) == 0
