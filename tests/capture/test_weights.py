"""Parameters come from the checkpoint by transformers' own rules, one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from foreknown.capture import Captured, capture
from foreknown.errors import CheckpointError
from foreknown.graph.ir import Node

Save = Callable[..., Path]
Exact = Callable[..., Captured]


def weight_nodes(captured: Captured) -> dict[str, Node]:
    return {str(n.attrs["name"]): n for n in captured.graph.nodes if n.op == "weight"}


def change(directory: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = directory / "model.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file, {"format": "pt"})


def test_experts_stored_one_by_one_are_read_as_one(save: Save, exact: Exact) -> None:
    directory = save("mixtral", num_local_experts=3)
    stored = load_file(directory / "model.safetensors")
    apart = [n for n in stored if "experts" in n]
    assert len(apart) > 2 * 2  # a tensor for each expert and projection of two layers
    captured = exact(directory)
    (name, *_) = [n for n in weight_nodes(captured) if n.endswith("gate_up_proj")]
    assert captured.weights.read(name).shape == captured.weights.shapes[name] == (3, 96, 32)


def test_sharded(save: Save, exact: Exact) -> None:
    directory = save("llama", shard="20KB")
    assert len(list(directory.glob("*.safetensors"))) > 1
    exact(directory)


def test_tied_weights_are_one_node(save: Save, exact: Exact) -> None:
    directory = save("llama", tie_word_embeddings=True)
    assert not any("lm_head" in n for n in load_file(directory / "model.safetensors"))
    captured = exact(directory)
    users = captured.graph.users
    vocabulary = [n for n in weight_nodes(captured).values() if n.shape == (64, 32)]
    assert len(vocabulary) == 1
    assert {u.op for u in users[vocabulary[0]]} == {"take", "linear"}


def test_bfloat16_comes_as_bits(save: Save) -> None:
    directory = save("llama")
    change(directory, lambda t: t.update({k: v.bfloat16() for k, v in t.items()}))
    captured = capture(directory)
    assert {n.attrs["stored"] for n in weight_nodes(captured).values()} == {"bf16"}
    name = "model.norm.weight"
    bits = captured.weights.read(name)
    assert bits.dtype == np.uint16
    expected = load_file(directory / "model.safetensors")[name].float().numpy()
    np.testing.assert_array_equal((bits.astype(np.uint32) << 16).view(np.float32), expected)


def test_a_configuration_is_enough(save: Save) -> None:
    directory = save("llama")
    for file in directory.glob("*.safetensors"):
        file.unlink()
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    captured = capture(directory)
    assert {n.attrs["stored"] for n in weight_nodes(captured).values()} == {"bf16"}
    with pytest.raises(CheckpointError, match="no weights"):
        captured.weights.read("model.norm.weight")


def test_a_tensor_of_another_shape(save: Save) -> None:
    directory = save("llama")
    name = "model.layers.1.mlp.up_proj.weight"
    change(directory, lambda t: t.update({name: torch.zeros(47, 32)}))
    with pytest.raises(CheckpointError, match=r"up_proj.*\[47, 32\].*\[48, 32\]"):
        capture(directory)


def test_an_expert_of_another_shape(save: Save) -> None:
    directory = save("mixtral", num_local_experts=2)
    change(
        directory,
        lambda t: t.update({k: torch.zeros(32, 40) for k in t if ".w2." in k and "layers.0" in k}),
    )
    with pytest.raises(CheckpointError, match=r"\[2, 32, 40\].*\[2, 32, 48\]"):
        capture(directory)


def test_missing_tensors_are_named(save: Save) -> None:
    directory = save("llama")
    change(directory, lambda t: [t.pop(k) for k in list(t) if "layers.1.mlp" in k])  # type: ignore[func-returns-value]
    with pytest.raises(CheckpointError, match=r"lack 'model\.layers\.1\.mlp\."):
        capture(directory)


def test_tensors_that_nothing_takes_are_reported(save: Save, exact: Exact) -> None:
    directory = save("llama")
    change(directory, lambda t: t.update({"extra.tensor": torch.zeros(3)}))
    assert exact(directory).weights.unused == ("extra.tensor",)


def test_whole_numbers_are_refused_as_weights(save: Save) -> None:
    directory = save("llama")
    name = "model.norm.weight"
    change(directory, lambda t: t.update({name: torch.ones(32, dtype=torch.int32)}))
    with pytest.raises(CheckpointError, match=r"norm\.weight.*I32"):
        capture(directory)
