"""config.json: sizes under every name, and clear errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foreknown.checkpoint.config import read_config
from foreknown.checkpoint.files import CONFIG_LIMIT_BYTES
from foreknown.errors import CheckpointError


def test_shared_model(shared: Path) -> None:
    config = read_config(shared / "models" / "stories260K")
    assert (config.model_type, config.vocab_size) == ("llama", 512)
    assert config.max_position_embeddings == 512
    assert not config.has_custom_code
    assert config.raw["hidden_size"] == 64
    with pytest.raises(TypeError):
        config.raw["hidden_size"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    "name",
    [
        "max_position_embeddings",
        "n_positions",
        "n_ctx",
        "max_seq_len",
        "seq_length",
        "max_sequence_length",
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_names_of_the_context(make: Any, name: str, nested: bool) -> None:
    sizes = {name: 64, "vocab_size": 9}
    raw = {"text_config": sizes} if nested else sizes
    make.json("config.json", {"model_type": "x", **raw})
    config = read_config(make.directory)
    assert (config.max_position_embeddings, config.vocab_size) == (64, 9)
    assert config.lookup("missing", name) == 64


def test_unknown_context(make: Any) -> None:
    make.json("config.json", {"model_type": "x", "max_seq_len": -1, "text_config": None})
    config = read_config(make.directory)
    assert config.max_position_embeddings is None
    assert config.vocab_size is None


def test_custom_code(make: Any) -> None:
    make.json("config.json", {"model_type": "x"})
    assert not read_config(make.directory).has_custom_code
    make.text("modeling_x.py", "")
    assert read_config(make.directory).has_custom_code
    (make.directory / "modeling_x.py").unlink()
    make.json("config.json", {"model_type": "x", "auto_map": {}})
    assert read_config(make.directory).has_custom_code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ('{"model_type":\n "x"', "line 2"),
        ("[1]", "holds a JSON list"),
        ("[" * 100_000, "nested too deep"),
        ('{"vocab_size": ' + "1" * 10_000 + "}", "number too long"),
        ("{}", "no model_type"),
        ('{"model_type": 3}', "no model_type"),
        ('{"model_type": "x", "vocab_size": 0}', "vocab_size is 0"),
        ('{"model_type": "x", "vocab_size": "many"}', "vocab_size is 'many'"),
        ('{"model_type": "x", "vocab_size": true}', "vocab_size is True"),
        ('{"model_type": "x", "n_ctx": 1.5}', "n_ctx is 1.5"),
        ('{"model_type": "x", "num_hidden_layers": 0}', "num_hidden_layers is 0"),
        ('{"model_type": "x", "num_hidden_layers": -1}', "num_hidden_layers is -1"),
        ('{"model_type": "x", "text_config": {"n_layer": 0}}', "n_layer is 0"),
    ],
)
def test_damaged_config(make: Any, text: str, message: str) -> None:
    make.text("config.json", text)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_config(make.directory)
    assert caught.value.remedy
    assert "config.json" in caught.value.where


def test_config_that_cannot_be_read(make: Any) -> None:
    with pytest.raises(CheckpointError, match=r"config.json is missing"):
        read_config(make.directory)
    (make.directory / "config.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(CheckpointError, match="not UTF-8"):
        read_config(make.directory)
    with (make.directory / "config.json").open("wb") as file:
        file.truncate(CONFIG_LIMIT_BYTES + 1)
    with pytest.raises(CheckpointError, match="above the bound"):
        read_config(make.directory)
    (make.directory / "config.json").unlink()
    (make.directory / "config.json").mkdir()
    with pytest.raises(CheckpointError, match="not a file"):
        read_config(make.directory)
