"""The tokenizer, what is learned of a conversation, and a stream that resumes where it stopped."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from foreknown.evaluation.problems import KINDS, Message, draw
from training.batches import batches
from training.chat_format import END, START, Lesson, lesson

_BUNDLED = Path(__file__).parents[2] / "src/foreknown/bundled/tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(_BUNDLED))


@pytest.fixture(autouse=True)
def small_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.batches._POOL_CONVERSATIONS", 512)


def test_digits_and_operators_are_tokens_of_their_own(tokenizer: Tokenizer) -> None:
    tokens = [tokenizer.decode([token]) for token in tokenizer.encode("12 + 345=7*8").ids]
    assert tokens == ["1", "2", " + ", "3", "4", "5", "=", "7", "*", "8"]
    for text in tokenizer.get_vocab():
        assert sum(character.isdigit() for character in text) <= 1 or not text.isascii()


@pytest.mark.parametrize("text", ["Grüße, 世界 🌍!\n\ttab  two spaces", "a+b = c", " ", "#### 12"])
def test_any_text_makes_the_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize("name", sorted(KINDS))
def test_problems_make_the_round_trip(tokenizer: Tokenizer, name: str) -> None:
    for index in range(50):
        solution = draw(KINDS[name], "train", 1, index).solution
        assert tokenizer.decode(tokenizer.encode(solution).ids) == solution


def test_only_taught_replies_are_learned(tokenizer: Tokenizer) -> None:
    messages = (
        Message("user", "What is 2 + 3?"),
        Message("assistant", "2 + 3 = 6", taught=False),
        Message("user", "Are you sure?"),
        Message("assistant", "2 + 3 = 5"),
    )
    drawn = lesson(messages, tokenizer, 1024)
    learned = [token for token, is_learned in zip(*_columns(drawn), strict=True) if is_learned]
    assert tokenizer.decode(learned, skip_special_tokens=False) == f"2 + 3 = 5{END}"
    text = tokenizer.decode(drawn.tokens, skip_special_tokens=False)
    assert text.startswith(f"{START}user\nWhat is 2 + 3?{END}\n{START}assistant\n")


def _columns(drawn: Lesson) -> tuple[list[int], list[bool]]:
    return drawn.tokens, drawn.learned


def test_processes_draw_the_same_stream(tokenizer: Tokenizer) -> None:
    alone = list(islice(batches(tokenizer, 3, 65536, 256), 12))
    drawn = list(islice(batches(tokenizer, 3, 65536, 256, processes=2), 12))
    for expected, got in zip(alone, drawn, strict=True):
        assert np.array_equal(expected.tokens, got.tokens)
        assert expected.after == got.after


@pytest.mark.parametrize("start", [1, 5, 130])
def test_a_resumed_stream_gives_the_same_batches(tokenizer: Tokenizer, start: int) -> None:
    whole = list(islice(batches(tokenizer, 3, 1024, 256), start + 3))
    stopped_at = whole[start - 1].after
    resumed = list(islice(batches(tokenizer, 3, 1024, 256, stopped_at), 3))
    for expected, got in zip(whole[start:], resumed, strict=True):
        assert np.array_equal(expected.tokens, got.tokens)
        assert np.array_equal(expected.learned, got.learned)


def test_batches_keep_to_their_size(tokenizer: Tokenizer) -> None:
    for batch in islice(batches(tokenizer, 4, 2048, 512), 20):
        assert batch.tokens.size <= 2048
        assert batch.tokens.shape == batch.learned.shape
        assert 0 < batch.learned.sum() < batch.real_tokens <= batch.tokens.size
