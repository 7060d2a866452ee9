"""From a checkpoint to a graph: trained models, custom code, and refusals that say where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foreknown.capture import Captured, capture
from foreknown.errors import CaptureError, CheckpointError, UnsupportedOp
from foreknown.graph.batch import single
from foreknown.graph.interpret import run
from foreknown.graph.state import State

MODELS = Path(__file__).resolve().parents[3] / "shared" / "data" / "models"
Save = Callable[..., Path]
Exact = Callable[..., Captured]


@pytest.mark.parametrize("name", ["stories260K", "babyllama"])
def test_trained_models(name: str) -> None:
    directory = MODELS / name
    if not directory.exists():
        pytest.skip(f"{directory} is absent")
    captured = capture(directory)
    case = json.loads((directory / "golden.json").read_text())["cases"][0]
    read = {n: captured.weights.read(n) for n in weight_names(captured)}
    state, step = State(32), single(case["prompt_ids"])
    for i, (token, expected) in enumerate(
        zip(case["greedy_ids"][:24], case["logprobs"], strict=False)
    ):
        logits = run(captured.graph, step, read, state)["logits"][-1].astype(np.float64)
        assert int(logits.argmax()) == token
        logprob = logits[token] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        assert logprob == pytest.approx(expected, abs=1e-4)
        step = single([token], len(case["prompt_ids"]) + i)


def weight_names(captured: Captured) -> list[str]:
    return [str(n.attrs["name"]) for n in captured.graph.nodes if n.op == "weight"]


def test_a_smaller_context(save: Save) -> None:
    captured = capture(save("llama"), context=16)
    assert captured.context == 16
    assert captured.vocab_size == 64


def test_not_a_model_of_language(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(CaptureError, match="no causal language model"):
        capture(tmp_path)


def test_an_unknown_type(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nosuchthing"}')
    with pytest.raises(CheckpointError, match="nosuchthing"):
        capture(tmp_path)


CODE = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel, GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast


class TinyConfig(PreTrainedConfig):
    model_type = "tiny-custom"

    def __init__(self, vocab_size=16, hidden_size=8, max_position_embeddings=32, **kwargs):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.max_position_embeddings = max_position_embeddings
        super().__init__(**kwargs)


class TinyModel(PreTrainedModel, GenerationMixin):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.mix = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.head = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_ids, **kwargs):
        x = self.embed(input_ids)
        BODY
        return CausalLMOutputWithPast(logits=self.head(x))
"""
PLAIN = "x = x + torch.tanh(self.mix(x))"


def custom(directory: Path, body: str) -> Path:
    import torch
    from safetensors.torch import save_file

    (directory / "modeling_tiny.py").write_text(CODE.replace("BODY", body))
    auto = {
        "AutoConfig": "modeling_tiny.TinyConfig",
        "AutoModelForCausalLM": "modeling_tiny.TinyModel",
    }
    config = {"model_type": "tiny-custom", "auto_map": auto, "architectures": ["TinyModel"]}
    (directory / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    shapes = {"embed.weight": (16, 8), "mix.weight": (8, 8), "mix.bias": (8,)}
    tensors = {k: torch.randn(s) for k, s in {**shapes, "head.weight": (16, 8)}.items()}
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    return directory


@pytest.fixture
def _modules_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers copies custom code into its cache: here, into the test's own."""
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "modules"))


def test_custom_code_runs_only_where_allowed(tmp_path: Path) -> None:
    directory = custom(tmp_path, PLAIN)
    with pytest.raises(CaptureError, match="not run unless you allow it"):
        capture(directory)


@pytest.mark.usefixtures("_modules_apart")
def test_custom_code(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    captured = capture(custom(tmp_path, PLAIN), trust_code=True)
    w = load_file(tmp_path / "model.safetensors")
    ids = [3, 1, 4, 1, 5]
    x = w["embed.weight"][ids]
    expected = (x + np.tanh(x @ w["mix.weight"].T + w["mix.bias"])) @ w["head.weight"].T
    found = run(captured.graph, single(ids), captured.weights.read, State(1))["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("_modules_apart")
@pytest.mark.parametrize(
    ("body", "what", "line"),
    [
        ("x = x - x.mean(dim=1, keepdim=True)", "aten.mean.dim: a reduction over tokens", "mean"),
        ("x = x + torch.sort(x, dim=1)[0]", "tokens put in order", "sort"),
        ("x = x.flip(1)", "aten.flip.default: tokens in reverse", "flip"),
        ("x = x @ torch.linalg.qr(self.mix.weight)[0]", "linalg_qr", "qr"),
        ("x = x + torch.roll(x, 1, 1)", "tokens rolled", "roll"),
        ("x = torch.softmax(x @ x.transpose(1, 2), -1) @ x", "attention to later tokens", "@ x"),
        ("x = (x @ x.transpose(1, 2)) @ x", "before their softmax", "@ x"),
        ("x = x[:, :1] + x", "the tokens from 0 to 1", "x[:, :1]"),
        ("x = x + 1 / input_ids.shape[1]", "number of tokens", "shape[1]"),
    ],
)
def test_refusals_name_the_operation_and_the_line(
    tmp_path: Path, body: str, what: str, line: str
) -> None:
    with pytest.raises(UnsupportedOp) as caught:
        capture(custom(tmp_path, body), trust_code=True)
    assert what in caught.value.what
    assert "modeling_tiny.py" in caught.value.where
    assert line in caught.value.where


@pytest.mark.usefixtures("_modules_apart")
@pytest.mark.parametrize(
    "body",
    [
        "x = x * 2 if bool(x.sum() > 0) else x",
        "x = x * 2 if x.shape[1] > 20 else x",
    ],
    ids=["values", "lengths"],
)
def test_code_that_decides_while_it_runs_is_refused(tmp_path: Path, body: str) -> None:
    with pytest.raises(CaptureError, match="decide"):
        capture(custom(tmp_path, body), trust_code=True)
