"""generation_config.json: values, fallbacks, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from foreknown.checkpoint.config import read_config
from foreknown.checkpoint.generation import GenerationDefaults, read_generation
from foreknown.errors import CheckpointError


def test_values(make: Any) -> None:
    make.json(
        "generation_config.json",
        {
            "eos_token_id": [2, 7, 2],
            "bos_token_id": 1,
            "pad_token_id": 0,
            "do_sample": True,
            "temperature": 1,
            "top_k": 20,
            "top_p": 0.8,
            "min_p": 0.0,
            "repetition_penalty": 1.05,
            "max_new_tokens": 100,
            "stop_strings": "END",
            "unknown": {"kept": "out"},
        },
    )
    assert read_generation(make.directory) == GenerationDefaults(
        eos_token_ids=(2, 7),
        bos_token_id=1,
        pad_token_id=0,
        do_sample=True,
        temperature=1.0,
        top_k=20,
        top_p=0.8,
        min_p=0.0,
        repetition_penalty=1.05,
        max_new_tokens=100,
        stop_strings=("END",),
    )


def test_nothing_there(make: Any) -> None:
    assert read_generation(make.directory) == GenerationDefaults()


def test_end_of_sequence_falls_back(make: Any) -> None:
    config = {"model_type": "x"}
    make.json("config.json", config)
    found = read_generation(make.directory, read_config(make.directory), lambda: 5)
    assert found.eos_token_ids == (5,)
    make.json("config.json", {**config, "text_config": {"eos_token_id": 4, "bos_token_id": 3}})
    found = read_generation(make.directory, read_config(make.directory), lambda: 5)
    assert (found.eos_token_ids, found.bos_token_id) == ((4,), 3)
    make.json("config.json", {**config, "eos_token_id": -1})
    found = read_generation(make.directory, read_config(make.directory), lambda: None)
    assert found.eos_token_ids == ()
    make.json("generation_config.json", {"eos_token_id": 6})
    found = read_generation(make.directory, read_config(make.directory), lambda: 5)
    assert found.eos_token_ids == (6,)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eos_token_id", "</s>"),
        ("eos_token_id", [1, "2"]),
        ("eos_token_id", True),
        ("do_sample", "yes"),
        ("temperature", -1),
        ("temperature", "hot"),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_k", 1.5),
        ("top_p", 1.5),
        ("min_p", -0.1),
        ("repetition_penalty", 0),
        ("max_new_tokens", 0),
        ("stop_strings", [1]),
    ],
)
def test_wrong_values(make: Any, key: str, value: Any) -> None:
    make.json("generation_config.json", {key: value})
    with pytest.raises(CheckpointError, match=f"{key} is .* is expected") as caught:
        read_generation(make.directory)
    assert "generation_config.json" in caught.value.where


def test_damaged_file(make: Any) -> None:
    make.text("generation_config.json", "{")
    with pytest.raises(CheckpointError, match="not JSON"):
        read_generation(make.directory)
