"""The engine with a real tokenizer: pieces add up to what decoding the whole gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from foreknown.checkpoint.tokenizer import Tokenizer, open_tokenizer
from foreknown.engine import Engine, Request, SamplingParams


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Byte-level pairs, trained on a line in several scripts."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=["<end>"], show_progress=False
    )
    backend.train_from_iterator(["the naïve cat — 日本語 🚀 said, “the end”"] * 9, trainer)
    directory: Path = tmp_path_factory.mktemp("tokenizer")
    backend.save(str(directory / "tokenizer.json"))
    return open_tokenizer(directory)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), bias=st.sampled_from([{}, {0: 9.0}]))
def test_pieces_add_up_to_the_whole(
    new_program: Callable[..., Any], tokenizer: Tokenizer, seed: int, bias: dict[int, float]
) -> None:
    program = new_program(vocab_size=tokenizer.vocab_size)
    engine = Engine(program, end_ids=(0,), new_detokenizer=tokenizer.detokenizer)
    params = SamplingParams(max_tokens=40, seed=seed, logit_bias=bias)
    outputs = list(engine.generate([Request([1], params)]))
    tokens = [output.token for output in outputs if output.token is not None]
    assert "".join(output.text for output in outputs) == tokenizer.decode(tokens)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_stop_string_cuts_the_whole_at_its_first_place(
    new_program: Callable[..., Any], tokenizer: Tokenizer, seed: int, data: st.DataObject
) -> None:
    def run(stop: tuple[str, ...]) -> tuple[str, str | None]:
        engine = Engine(
            new_program(vocab_size=tokenizer.vocab_size), new_detokenizer=tokenizer.detokenizer
        )
        params = SamplingParams(max_tokens=30, seed=seed, stop=stop)
        outputs = list(engine.generate([Request([1], params)]))
        engine.check_integrity()
        return "".join(output.text for output in outputs), outputs[-1].finish_reason

    whole, _ = run(())
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = whole[start : start + data.draw(st.integers(1, 6))]
    assert run((stop,)) == (whole[: whole.index(stop)], "stop")
