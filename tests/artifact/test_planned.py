"""A model is planned from a checkpoint, or its configuration alone, as it would be compiled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from foreknown.artifact import build, open_artifact
from foreknown.artifact.build import Options, compile_checkpoint
from foreknown.artifact.find import find_artifact
from foreknown.artifact.planned import PlannedModel, Planner, planned_artifact
from foreknown.errors import ArtifactError, CheckpointError, RequestError
from foreknown.targets.cpu.toolchain import find_target

DEEP, CONTEXT = 9, 64
FORMATS = ("as stored", "bf16", "int8", "int4")


@pytest.fixture(scope="session")
def deep_checkpoint(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Nine small layers, all alike."""

    def write(directory: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, Qwen2Config

        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=96,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=DEEP,
            num_attention_heads=4,
            num_key_value_heads=2,
            use_sliding_window=True,
            sliding_window=16,
            max_window_layers=DEEP,
            max_position_embeddings=512,
        )
        AutoModelForCausalLM.from_config(config).save_pretrained(directory)

    return made_once("deep-checkpoint", write)


def facts(model: PlannedModel) -> tuple[object, ...]:
    return model.phases, model.sizes, model.weights_bytes, model.weights, model.state


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """Nothing is compiled, no weight is read, nothing is kept; gives the empty cache."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a forecast does work")

    for name in ("cached_shared_object", "pack", "directory_for"):
        monkeypatch.setattr(build, name, refuse)
    return own_cache


@pytest.fixture(scope="module")
def planner(deep_checkpoint: Path) -> Planner:
    """Captures the deep checkpoint once for all tests."""
    return Planner(deep_checkpoint)


def test_it_is_what_compiling_makes(
    planner: Planner, deep_checkpoint: Path, tmp_path: Path, own_cache: Path
) -> None:
    options = Options(weights="int4", context=CONTEXT)
    made = planned_artifact(compile_checkpoint(deep_checkpoint, tmp_path / "made", options))
    told = planner.planned(options)
    assert told.made_from == "checkpoint"
    assert facts(told) == facts(made)


def test_identical_layers_are_captured_once(
    planner: Planner, deep_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    from foreknown import capture

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the whole model is captured")

    with monkeypatch.context() as patched:
        patched.setattr(capture, "capture", refuse)
        told = [planner.planned(Options(weights=w, context=CONTEXT)) for w in FORMATS]
    monkeypatch.setattr(capture, "capture_outline", lambda *_, **__: None)
    whole = Planner(deep_checkpoint)
    for weights, one in zip(FORMATS, told, strict=True):
        assert facts(one) == facts(whole.planned(Options(weights=weights, context=CONTEXT)))


def test_a_configuration_alone_is_enough(
    planner: Planner, deep_checkpoint: Path, tmp_path: Path, no_work: Path
) -> None:
    options = Options(weights="int4", context=CONTEXT)
    whole = planner.planned(options)
    bare, file = tmp_path / "bare", tmp_path / "any name.json"
    bare.mkdir()
    for copy in (bare / "config.json", file):
        shutil.copyfile(deep_checkpoint / "config.json", copy)
    for path in (bare, file):
        told = Planner(path).planned(options)
        assert told.made_from == "config"
        assert facts(told) == facts(whole)
    assert {path.name for path in no_work.iterdir()} <= {"objects", "zig"}


def test_an_unlike_layer_has_all_captured(
    deep_checkpoint: Path, tmp_path: Path, own_cache: Path
) -> None:
    config = json.loads((deep_checkpoint / "config.json").read_text())
    file = tmp_path / "config.json"
    kinds = [*config["layer_types"][:-1], "sliding_attention"]
    file.write_text(json.dumps({**config, "layer_types": kinds}))
    told = Planner(file).planned(Options(context=CONTEXT))
    assert sum("attend" in phase.nodes for phase in told.phases) == DEEP


def test_a_longer_context_is_made_where_it_is_needed(planner: Planner, own_cache: Path) -> None:
    assert planner.longest == 512
    assert planner.planned_for(Options(context=CONTEXT), 100).sizes.context == CONTEXT
    assert planner.planned_for(Options(), 100).sizes.context == 512


def test_no_longer_one_is_made_than_the_model_holds(planner: Planner, own_cache: Path) -> None:
    told = planner.planned_for(Options(), 10_000)
    assert (told.sizes.context, told.longest) == (512, 512)


def test_it_is_for_an_instruction_set(
    planner: Planner, tiny_artifact: Path, own_cache: Path
) -> None:
    host = find_target("host").name
    assert planner.planned(Options(context=CONTEXT)).target == host
    assert planner.planned(Options(context=CONTEXT, target="aarch64")).target == "aarch64"
    artifact = open_artifact(tiny_artifact)
    told = planned_artifact(artifact)
    assert (told.target, told.longest) == (artifact.manifest.target, 128)


def test_a_shorter_one_needs_no_capture(planner: Planner, own_cache: Path) -> None:
    told = planner.planned_up_to(Options(context=512), CONTEXT)
    assert facts(told) == facts(planner.planned(Options(context=CONTEXT)))


def test_what_is_compiled_already_is_taken(tiny_checkpoint: Path, own_cache: Path) -> None:
    options = Options(context=CONTEXT)
    kept = find_artifact(tiny_checkpoint, options).artifact
    told = Planner(tiny_checkpoint).planned(options)
    assert told.made_from == "artifact"
    assert facts(told) == facts(planned_artifact(kept))


def test_an_artifact_is_what_it_is(tiny_artifact: Path) -> None:
    planner = Planner(tiny_artifact)
    assert facts(planner.planned(Options())) == facts(
        planned_artifact(open_artifact(tiny_artifact))
    )
    with pytest.raises(RequestError, match="weights is as stored, not int4"):
        planner.planned(Options(weights="int4"))


def test_what_is_no_model(tmp_path: Path, own_cache: Path) -> None:
    with pytest.raises(ArtifactError, match="no such model"):
        Planner(tmp_path / "nothing")
    text = tmp_path / "text.txt"
    text.write_text("hello")
    with pytest.raises(ArtifactError, match="neither an artifact nor a checkpoint"):
        Planner(text)
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{")
    with pytest.raises(CheckpointError, match=r"damaged\.json"):
        Planner(damaged).planned(Options())
    damaged.write_text('{"vocab_size": 3}')
    with pytest.raises(CheckpointError, match="no model_type") as caught:
        Planner(damaged).planned(Options())
    assert caught.value.where == str(damaged)
