"""Pieces of a stream add up to the decoded whole, for every decoder and any ids."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foreknown.checkpoint.decoder_stages import stages_of
from foreknown.checkpoint.special_tokens import SpecialTokens
from foreknown.checkpoint.tokenizer import Tokenizer, open_tokenizer

DIRECTORIES = ("models/stories260K", "models/babyllama", "tokenizers/gpt2", "tokenizers/qwen2")


@pytest.fixture(scope="session", params=DIRECTORIES)
def tokenizer(request: Any, shared: Path) -> Tokenizer:
    return open_tokenizer(shared / request.param)


def pieces(tokenizer: Tokenizer, ids: list[int], skip: bool = True) -> list[str]:
    stream = tokenizer.detokenizer(skip)
    return [*(stream.push(index) for index in ids), stream.finish()]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), skip=st.booleans())
def test_any_ids(tokenizer: Tokenizer, data: st.DataObject, skip: bool) -> None:
    any_id = st.integers(0, tokenizer.vocab_size + 2)
    # Single bytes lie among the first ids, so that broken characters are common.
    low_id = st.integers(0, min(300, tokenizer.vocab_size))
    special = st.sampled_from(sorted(tokenizer.special_ids))
    ids = data.draw(st.lists(any_id | low_id | special))
    assert "".join(pieces(tokenizer, ids, skip)) == tokenizer.decode(ids, skip)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(st.characters(exclude_categories=["Cs"])), data=st.data())
def test_any_text(tokenizer: Tokenizer, text: str, data: st.DataObject) -> None:
    ids = tokenizer.encode(text)
    assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids)


def test_no_character_is_split(tokenizer: Tokenizer) -> None:
    if tokenizer.vocab_size < 256:
        pytest.skip("this vocabulary cannot write every character")
    text = "naïve 漢字 😀 end"
    given_pieces = pieces(tokenizer, tokenizer.encode(text))
    assert "".join(given_pieces) == text
    assert all("\ufffd" not in piece for piece in given_pieces)
    assert given_pieces[-1] == ""


def test_text_comes_as_soon_as_it_is_certain(tokenizer: Tokenizer) -> None:
    stream = tokenizer.detokenizer()
    seen = ""
    for index, token in enumerate(ids := tokenizer.encode("one two three")):
        seen += stream.push(token)
        assert seen == tokenizer.decode(ids[: index + 1])


def test_incomplete_character_at_the_end(shared: Path) -> None:
    tokenizer = open_tokenizer(shared / "tokenizers" / "gpt2")
    ids = tokenizer.encode("a😀")[:-1]
    *before, rest = pieces(tokenizer, ids)
    assert "".join(before) == "a"
    assert rest == "\ufffd"


def test_cost_does_not_grow(shared: Path) -> None:
    """20,000 tokens take seconds at most; decoding the whole at each step would take minutes."""
    tokenizer = open_tokenizer(shared / "tokenizers" / "gpt2")
    ids = tokenizer.encode("The quick brown fox 😀. ") * 2500
    start = time.perf_counter()
    assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids)
    assert time.perf_counter() - start < 10


def _decoders() -> dict[str, Any]:
    from tokenizers import Regex, decoders

    replace = decoders.Replace("▁", " ")
    return {
        "none": None,
        "metaspace": decoders.Metaspace(),
        "metaspace, never": decoders.Metaspace(prepend_scheme="never"),
        "metaspace, first": decoders.Metaspace(prepend_scheme="first"),
        "word piece": decoders.WordPiece(),
        "word piece, as is": decoders.WordPiece(cleanup=False),
        "suffix": decoders.BPEDecoder(),
        "byte level": decoders.ByteLevel(),
        "fallback": decoders.Sequence(
            [replace, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        ),
        # The library panics where it strips the end of a text that is too short.
        "strip start": decoders.Sequence([decoders.Fuse(), decoders.Strip("▁", 2, 0)]),
        "strip each start": decoders.Strip("▁", 1, 0),
        "strip each end": decoders.Strip("▁", 0, 1),
        "replace by rule": decoders.Replace(Regex("[ab]+"), "-"),
        "replace after fusing": decoders.Sequence([decoders.Fuse(), replace]),
        "not known": decoders.CTC(pad_token="a", word_delimiter_token="▁"),
        "not known, fused": decoders.Sequence([decoders.Fuse(), decoders.Replace("ab", "c")]),
    }


def test_strip_at_the_end() -> None:
    from tokenizers import decoders

    decoder = decoders.Sequence([decoders.Fuse(), decoders.Strip("_", 1, 2)])
    words = ["__ab", "_", "c_", "_", "_"]
    [strip] = stages_of(json.loads(decoder.__getstate__())) or []
    found = [piece for word in words for piece in strip.push(word)]
    assert found == ["_ab", "", "_c", "", "_"]
    assert strip.finish() == []
    assert "".join(found) == decoder.decode(words)


# fmt: off
WORDS = ["a", "b", "▁", "▁a", "a▁", "▁▁b", "##c", "d</w>", "<0xE6>", "<0xBC>", "<0xA2>", "<0x41>",
         "<0xZZ>", ".", "'", "s", "n't", "Ġ", "æ", "¼", "¢", "漢", "<s>", " ", "I", "'m"]
# fmt: on


@pytest.mark.parametrize("clean_up", [False, True])
@pytest.mark.parametrize("kind", _decoders())
@settings(max_examples=300, deadline=None)
@given(ids=st.lists(st.integers(0, len(WORDS) - 1)))
def test_every_decoder(kind: str, clean_up: bool, ids: list[int]) -> None:
    from tokenizers import AddedToken, models
    from tokenizers import Tokenizer as Backend

    backend = Backend(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="a"))
    backend.add_tokens([AddedToken("<s>", special=True)])
    if (decoder := _decoders()[kind]) is not None:
        backend.decoder = decoder
    config = {"clean_up_tokenization_spaces": clean_up}
    tokenizer = Tokenizer(backend, SpecialTokens({}, (), (), {}, config))
    for skip in (False, True):
        assert "".join(pieces(tokenizer, ids, skip)) == tokenizer.decode(ids, skip)
