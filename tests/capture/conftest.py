"""Small checkpoints for the tests of capture: any configuration of transformers, random weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.utils import logging

from foreknown.capture import Captured, capture
from foreknown.capture.reference import eager_logits, relative_error
from foreknown.graph.batch import single
from foreknown.graph.interpret import run
from foreknown.graph.state import State

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a checkpoint of a type with random weights and returns its directory."""

    def write(model_type: str, *, shard: str = "5GB", seed: int = 0, **options: Any) -> Path:
        directory = tmp_path / model_type
        level = logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.manual_seed(seed)
                config = CONFIG_MAPPING[model_type](**{**SMALL, **options})
                model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.add_(0.1 * torch.randn_like(parameter))
                model.save_pretrained(directory, max_shard_size=shard)
        finally:
            logging.set_verbosity(level)
        return directory

    return write


def interpreted_logits(captured: Captured, sequence: Sequence[int], prompt: int) -> Any:
    """Logits of every token: a prompt in one step, then token by token."""
    state, weights = State(8), captured.weights.read
    rows = [run(captured.graph, single(list(sequence[:prompt])), weights, state)["logits"]]
    for i in range(prompt, len(sequence)):
        step = single([sequence[i]], i)
        rows.append(run(captured.graph, step, weights, state)["logits"])
    return np.concatenate(rows)


def tokens(count: int, seed: int = 1) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(3, 60, count)]


@pytest.fixture
def exact() -> Callable[..., Captured]:
    """Captures a checkpoint and proves its logits equal to eager transformers'."""

    def check(directory: Path, length: int = 20, **options: Any) -> Captured:
        captured = capture(directory, **options)
        sequence = tokens(length)
        found = interpreted_logits(captured, sequence, length - 4)
        (expected,) = eager_logits(directory, [sequence])
        # f32 sums in another order: 1e-5 of the largest logit is ten times what is seen
        assert relative_error(found, expected) < 1e-5
        return captured

    return check
