"""Ids and texts equal AutoTokenizer's for the same directory; damaged files give clear errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foreknown.checkpoint import tokenizer as tokenizer_module
from foreknown.checkpoint.tokenizer import Tokenizer, has_tokenizer, open_tokenizer
from foreknown.errors import CheckpointError, RequestError

DIRECTORIES = ("models/stories260K", "models/babyllama", "tokenizers/gpt2", "tokenizers/qwen2")

TEXTS = [
    "",
    " ",
    "Once upon a time, there was a little girl.",
    "  leading and trailing  ",
    "don't we'LL (x) {y} a,b;\n\n\tz  \r\n end.\n",
    "1234567 3.14 ½ ² 2024-07-26",
    "Zürich, naïve café, e\u0301 — “quoted”…",
    "漢字かな 한국어 עברית हिन्दी 😀👩‍👩‍👧",
    "<|endoftext|>a<|im_start|>user\nb<|im_end|></s> <s>c<unk>",
    "\x00\x7f\u200b\ufffd",
    "```python\ndef f(x):\n    return x ** 2  # ok\n```",
]


@pytest.fixture(scope="session", params=DIRECTORIES)
def pair(request: Any, shared: Path, tmp_path_factory: Any) -> tuple[Tokenizer, Any]:
    """Ours and transformers' for the same directory."""
    from transformers import AutoTokenizer

    directory = shared / request.param
    if request.param == "tokenizers/gpt2":  # AutoTokenizer cannot do without a config.json
        copy = tmp_path_factory.mktemp("gpt2")
        shutil.copytree(directory, copy, dirs_exist_ok=True)
        (copy / "config.json").write_text(
            '{"model_type": "gpt2", "bos_token_id": 50256, "eos_token_id": 50256}'
        )
        directory = copy
    return open_tokenizer(directory), AutoTokenizer.from_pretrained(directory)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("special", [False, True])
def test_equals_transformers(pair: tuple[Tokenizer, Any], text: str, special: bool) -> None:
    ours, theirs = pair
    ids = ours.encode(text, add_special_tokens=special)
    assert ids == theirs.encode(text, add_special_tokens=special)
    assert ours.decode(ids, skip_special_tokens=special) == theirs.decode(
        ids, skip_special_tokens=special
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_text_equals_transformers(pair: tuple[Tokenizer, Any], data: st.DataObject) -> None:
    ours, theirs = pair
    text = data.draw(st.text(st.characters(exclude_categories=["Cs"])))
    assert ours.encode(text) == theirs.encode(text)


def test_names_equal_transformers(pair: tuple[Tokenizer, Any]) -> None:
    ours, theirs = pair
    assert ours.vocab_size == len(theirs)
    assert ours.bos_token_id == theirs.bos_token_id
    assert ours.eos_token_id == theirs.eos_token_id
    if len(ours.special_ids) > 1:  # a class of its own may set defaults that no file tells
        assert ours.pad_token_id == theirs.pad_token_id
    assert ours.special_ids == frozenset(theirs.all_special_ids)


def test_without_any_side_file(shared: Path) -> None:
    ours = open_tokenizer(shared / "tokenizers" / "gpt2")
    assert ours.eos_token_id == ours.bos_token_id == 50256
    assert ours.special_ids == {50256}
    assert ours.token_id("nope") is None


def small(make: Any, **changes: Any) -> Path:
    """A word-level tokenizer.json."""
    make.json(
        "tokenizer.json",
        {
            "version": "1.0",
            "added_tokens": [],
            "pre_tokenizer": {"type": "Whitespace"},
            "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "[U]": 2}, "unk_token": "[U]"},
            **changes,
        },
    )
    return Path(make.directory)


def test_side_files(make: Any) -> None:
    directory = small(make)
    make.json(
        "tokenizer_config.json",
        {
            "bos_token": {"__type": "AddedToken", "content": "<s>", "special": True},
            "eos_token": "b",
            "image_token": "<img>",
            "additional_special_tokens": ["<x>"],
            "added_tokens_decoder": {"3": {"content": "<s>", "special": True}},
        },
    )
    ours = open_tokenizer(directory)
    assert ours.bos_token_id == 3
    assert ours.eos_token_id == 1
    assert ours.special_tokens == {"bos_token": "<s>", "eos_token": "b", "image_token": "<img>"}
    assert ours.encode("<s>a<x>") == [3, 0, ours.token_id("<x>")]
    assert ours.decode([3, 0, 1]) == "a"


def test_legacy_side_files(make: Any) -> None:
    directory = small(make)
    make.json("special_tokens_map.json", {"eos_token": {"content": "<e>"}, "bos_token": "a"})
    make.json("added_tokens.json", {"<t>": 3, "<e>": 4})
    ours = open_tokenizer(directory)
    assert (ours.bos_token_id, ours.token_id("<t>"), ours.eos_token_id) == (0, 3, 4)
    assert ours.special_ids == {0, 4}


def test_truncation_and_padding_are_off(make: Any) -> None:
    truncation = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}
    assert open_tokenizer(small(make, truncation=truncation)).encode("a b a") == [0, 1, 0]


def test_start_and_end_tokens_for_vocabulary_files(make: Any) -> None:
    make.json("vocab.json", {"a": 0, "b": 1, "ab": 2, "<s>": 3, "</s>": 4})
    make.text("merges.txt", "#version: 0.2\na b\n")
    make.json(
        "tokenizer_config.json",
        {
            "bos_token": "<s>",
            "eos_token": "</s>",
            "add_bos_token": True,
            "add_eos_token": True,
        },
    )
    ours = open_tokenizer(make.directory)
    assert ours.encode("ab") == [3, 2, 4]
    assert ours.encode("ab", add_special_tokens=False) == [2]
    assert ours.decode([3, 2, 4]) == "ab"


def test_clean_up_for_word_pieces(make: Any) -> None:
    directory = small(make)
    make.json("tokenizer_config.json", {"clean_up_tokenization_spaces": True})
    assert open_tokenizer(directory).decode([0, 1]) == "a b"
    assert tokenizer_module.clean_up("a . b ' c do n't it 's") == "a. b'c don't it's"


def test_lone_surrogate(make: Any) -> None:
    with pytest.raises(RequestError, match="surrogate at character 1"):
        open_tokenizer(small(make)).encode("a\ud800")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ('{"version": "1.0", "mod', "not JSON"),
        ("[]", "not an object"),
        ("{}", "damaged or of an unknown kind"),
        ('{"model": {"type": "Nothing"}}', "damaged or of an unknown kind"),
    ],
)
def test_damaged_tokenizer_json(make: Any, text: str, message: str) -> None:
    make.text("tokenizer.json", text)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_tokenizer(make.directory)
    assert "tokenizer.json" in caught.value.where
    assert caught.value.remedy


def test_truncated_real_tokenizer(shared: Path, make: Any) -> None:
    text = (shared / "models" / "stories260K" / "tokenizer.json").read_text(encoding="utf-8")
    make.text("tokenizer.json", text[: len(text) // 2])
    with pytest.raises(CheckpointError, match="not JSON"):
        open_tokenizer(make.directory)
    whole = json.loads(text)
    whole["model"]["merges"][0] = ["not", "there"]
    make.json("tokenizer.json", whole)
    with pytest.raises(CheckpointError, match="damaged"):
        open_tokenizer(make.directory)


def test_size_is_bounded(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_module, "LIMIT_BYTES", 100)
    with pytest.raises(CheckpointError, match="above the bound of 100"):
        open_tokenizer(small(make))


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        ({"a": "x"}, "", "no token id"),
        ({"a": -1}, "", "no token id"),
        ({"a": 0}, "a\n", "line 1"),
        ({"a": 0}, "#version: 0.2\na b c\n", "line 2"),
        ({"a": 0}, "a b\n", "does not belong to vocab.json"),
    ],
)
def test_damaged_vocabulary_files(make: Any, vocabulary: Any, merges: str, message: str) -> None:
    make.json("vocab.json", vocabulary)
    make.text("merges.txt", merges)
    with pytest.raises(CheckpointError, match=message):
        open_tokenizer(make.directory)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"eos_token": 3}, "eos_token is 3"),
        ({"added_tokens_decoder": []}, "added_tokens_decoder"),
        ({"added_tokens_decoder": {"x": {}}}, "added_tokens_decoder"),
        ({"extra_special_tokens": 1}, "extra_special_tokens"),
    ],
)
def test_damaged_side_file(make: Any, config: Any, message: str) -> None:
    directory = small(make)
    make.json("tokenizer_config.json", config)
    with pytest.raises(CheckpointError, match=message):
        open_tokenizer(directory)


def test_contradicting_ids(make: Any) -> None:
    make.json("tokenizer_config.json", {"added_tokens_decoder": {"9": {"content": "a"}}})
    make.json("vocab.json", {"a": 0})
    make.text("merges.txt", "")
    with pytest.raises(CheckpointError, match="has the id 9 in one file and 0"):
        open_tokenizer(make.directory)
    assert open_tokenizer(small(make)).encode("a") == [0]  # tokenizer.json has the last word


def test_no_tokenizer(make: Any) -> None:
    assert not has_tokenizer(make.directory)
    with pytest.raises(CheckpointError, match="there is no tokenizer"):
        open_tokenizer(make.directory)
    make.text("tokenizer.model", "x")
    with pytest.raises(CheckpointError, match=r"only there as tokenizer.model.*\n.*\n.*convert"):
        open_tokenizer(make.directory)
