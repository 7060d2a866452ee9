"""How embeddings are pooled, as a checkpoint's files say it, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from foreknown.checkpoint import Pooling, open_checkpoint
from foreknown.checkpoint.pooling import read_pooling
from foreknown.errors import CheckpointError

FLAGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
MODES = [("mean", "mean"), ("lasttoken", "last"), ("cls", "first")]


def by_flags(*names: str) -> dict[str, Any]:
    return {
        "word_embedding_dimension": 64,
        **{flag: name in names for name, flag in FLAGS.items()},
        "include_prompt": True,
    }


def modules(*kinds: str, folder: str = "1_Pooling") -> list[dict[str, Any]]:
    return [
        {
            "idx": i,
            "name": str(i),
            "path": folder if kind == "Pooling" else f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]


def test_nothing_is_said(make: Any) -> None:
    assert read_pooling(make.directory) is None
    make.json("modules.json", modules("Transformer"))
    assert read_pooling(make.directory) is None


@pytest.mark.parametrize(("name", "mode"), MODES)
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("flags", [False, True])
def test_modes(make: Any, name: str, mode: Any, normalise: bool, flags: bool) -> None:
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalise else [])]
    make.json("modules.json", modules(*kinds, folder="pool"))
    make.json("pool/config.json", by_flags(name) if flags else {"pooling_mode": name})
    assert read_pooling(make.directory) == Pooling(mode, normalise)


def test_without_a_list_of_modules(make: Any) -> None:
    make.json("1_Pooling/config.json", by_flags("lasttoken"))
    assert read_pooling(make.directory) == Pooling("last", normalise=False)


def test_a_file_that_names_no_mode_means_the_mean(make: Any) -> None:
    make.json("1_Pooling/config.json", {"word_embedding_dimension": 64})
    assert read_pooling(make.directory) == Pooling("mean", normalise=False)


@pytest.mark.parametrize("name", sorted(FLAGS.keys() - {name for name, _ in MODES}))
@pytest.mark.parametrize("flags", [False, True])
def test_other_modes_are_refused(make: Any, name: str, flags: bool) -> None:
    path = make.json("1_Pooling/config.json", by_flags(name) if flags else {"pooling_mode": name})
    with pytest.raises(CheckpointError, match=f"pooled by {name}, which is not") as raised:
        read_pooling(make.directory)
    assert raised.value.where == str(path)
    assert "mean, lasttoken, cls" in raised.value.remedy


@pytest.mark.parametrize(
    "config", [by_flags("cls", "mean"), {"pooling_mode": ["cls", "mean"]}], ids=["flags", "names"]
)
def test_several_modes_are_refused(make: Any, config: Any) -> None:
    make.json("1_Pooling/config.json", config)
    with pytest.raises(CheckpointError, match="pooled by cls and mean"):
        read_pooling(make.directory)


def test_other_modules_are_refused(make: Any) -> None:
    make.json("modules.json", modules("Transformer", "Pooling", "Dense"))
    make.json("1_Pooling/config.json", by_flags("mean"))
    with pytest.raises(CheckpointError, match="Dense"):
        read_pooling(make.directory)


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode": 3},
        {"pooling_mode": []},
        {"pooling_mode": [None]},
        {"pooling_mode_mean_tokens": "yes"},
    ],
)
def test_a_mode_that_is_none(make: Any, config: Any) -> None:
    make.json("1_Pooling/config.json", config)
    with pytest.raises(CheckpointError, match="names no way of pooling"):
        read_pooling(make.directory)


@pytest.mark.parametrize(
    "text", ["", "{}x", '{"a": 1}', "[1]", '[{"type": "Pooling"}]', "[" * 9999]
)
def test_a_damaged_list_of_modules(make: Any, text: str) -> None:
    make.text("modules.json", text)
    with pytest.raises(CheckpointError, match="no list of modules"):
        read_pooling(make.directory)


@pytest.mark.parametrize("folder", ["", "..", "../other", "/etc", "a/b", ".hidden", "a\nb"])
def test_a_module_lies_in_a_folder_of_the_checkpoint(make: Any, folder: str) -> None:
    make.json("config.json", {"model_type": "x"})
    make.json("modules.json", modules("Transformer", "Pooling", folder=folder))
    with pytest.raises(CheckpointError, match="not a plain name"):
        open_checkpoint(make.directory).text_files()


def test_the_files_are_text_files(make: Any, tmp_path_factory: Any) -> None:
    make.json("config.json", {"model_type": "x"})
    make.json("modules.json", modules("Transformer", "Pooling", "Normalize"))
    listed = open_checkpoint(make.directory).text_files()
    assert listed == (Path("config.json"), Path("modules.json"))
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        _ = open_checkpoint(make.directory).pooling
    make.json("1_Pooling/config.json", by_flags("cls"))
    original = open_checkpoint(make.directory)
    elsewhere = tmp_path_factory.mktemp("copy")
    for file in original.text_files():
        (elsewhere / file).parent.mkdir(exist_ok=True)
        shutil.copy(original.directory / file, elsewhere / file)
    copied = open_checkpoint(elsewhere).pooling
    assert copied == original.pooling == Pooling("first", normalise=True)
