"""A directory opens as a checkpoint, quickly and without a training stack."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foreknown.checkpoint import open_checkpoint
from foreknown.errors import CheckpointError


def test_shared_model(shared: Path) -> None:
    checkpoint = open_checkpoint(shared / "models" / "stories260K")
    assert checkpoint.config.vocab_size == checkpoint.tokenizer.vocab_size == 512
    assert checkpoint.tensors is checkpoint.tensors is not None
    assert checkpoint.chat_template is None
    assert checkpoint.generation.eos_token_ids == (2,)


def test_configuration_alone(make: Any) -> None:
    make.json("config.json", {"model_type": "x"})
    checkpoint = open_checkpoint(make.directory)
    assert checkpoint.tensors is None
    assert not checkpoint.has_tokenizer
    assert checkpoint.chat_template is None
    assert checkpoint.generation.eos_token_ids == ()
    with pytest.raises(CheckpointError, match="no tokenizer"):
        _ = checkpoint.tokenizer


def test_template_with_its_special_tokens(shared: Path) -> None:
    template = open_checkpoint(shared / "tokenizers" / "qwen2").chat_template
    assert template is not None
    rendered = template.render([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    assert rendered.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert template.special_tokens["eos_token"] == "<|im_end|>"


def test_end_of_sequence_from_the_tokenizer(shared: Path, tmp_path: Path) -> None:
    model = shared / "models" / "stories260K"
    shutil.copy(model / "tokenizer.json", tmp_path)
    shutil.copy(model / "tokenizer_config.json", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "x"}')
    assert open_checkpoint(tmp_path).generation.eos_token_ids == (2,)


def test_text_files_open_elsewhere(shared: Path, tmp_path: Path, make: Any) -> None:
    original = open_checkpoint(shared / "tokenizers" / "qwen2")
    for file in original.text_files():
        shutil.copy(original.directory / file, tmp_path / file)
    copy = open_checkpoint(tmp_path)
    assert copy.tokenizer.encode("Hello") == original.tokenizer.encode("Hello")
    make.text("chat_templates/rag.jinja", "x")
    assert Path("chat_templates/rag.jinja") in open_checkpoint(tmp_path).text_files()


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        open_checkpoint(tmp_path / "nothing")
    (tmp_path / "model.gguf").write_text("")
    with pytest.raises(CheckpointError, match="is a file"):
        open_checkpoint(tmp_path / "model.gguf")
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        open_checkpoint(tmp_path)


USE_ALL = """
import sys
from foreknown.checkpoint import open_checkpoint
late = {"tokenizers", "jinja2"} & sys.modules.keys()
c = open_checkpoint(sys.argv[1])
c.tensors, c.tokenizer, c.chat_template, c.generation
never = {"torch", "transformers", "safetensors"} & sys.modules.keys()
print(late, never)
"""


def test_no_training_stack(shared: Path) -> None:
    command = [sys.executable, "-c", USE_ALL, str(shared / "models" / "stories260K")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set() set()\n"
