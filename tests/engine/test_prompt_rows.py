"""Embeddings and the log-probabilities of prompts, whatever the chunks and the company."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.errors import RequestError
from tests.engine.company import run

NewProgram = Callable[..., Any]
PROMPT = [n * 13 % 40 for n in range(41)]


def hidden_states(program: Any, prompt: list[int]) -> NDArray[np.float64]:
    """Of every token, asked for one by one."""
    from foreknown.graph.batch import single

    found = []
    for n in range(len(prompt)):
        program.step(single([prompt[n]], start=n))
        found.append(program.hidden(1)[0].copy())
    return np.array(found, np.float64)


@pytest.mark.parametrize("mode", ["mean", "last", "first"])
@pytest.mark.parametrize("n", [1, 16, 41, 96])
def test_an_embedding_is_what_it_says(
    new_program: NewProgram, mode: Literal["mean", "last", "first"], n: int
) -> None:
    prompt = [i * 13 % 40 for i in range(n)]
    states = hidden_states(new_program(), prompt)
    total = np.zeros(8)
    for row in states:
        total += row
    expected = {"mean": total / n, "last": states[-1], "first": states[0]}[mode]
    engine = Engine(new_program(max_tokens=10, max_rows=3))
    (output,) = engine.generate([Request(prompt, embed=mode)])
    assert output.embedding is not None
    assert output.embedding.dtype == np.float32
    assert output.embedding.tobytes() == expected.astype(np.float32).tobytes()
    assert (output.token, output.text, output.finish_reason) == (None, "", "stop")
    engine.check_integrity()
    assert engine.scheduler.blocks.n_free == 24


def test_a_cached_prompt_is_no_shortcut_where_its_rows_are_wanted(new_program: NewProgram) -> None:
    for mode, n_computed in (("mean", 41), ("first", 41), ("last", 1)):
        program = new_program(max_tokens=64, max_rows=64)
        engine = Engine(program)
        list(engine.generate([Request(PROMPT, SamplingParams(max_tokens=1))]))
        fresh = Engine(new_program()).generate([Request(PROMPT, embed=mode)])  # type: ignore[arg-type]
        (output,) = engine.generate([Request(PROMPT, embed=mode)])  # type: ignore[arg-type]
        (expected,) = fresh
        assert program.batches == [41, n_computed]
        assert output.embedding is not None
        assert expected.embedding is not None
        assert output.embedding.tobytes() == expected.embedding.tobytes()


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60),
    n_logprobs=st.integers(0, 3),
    max_tokens=st.integers(1, 24),
    max_rows=st.integers(1, 5),
)
def test_prompts_have_the_log_probabilities_of_the_same_tokens_as_output(
    new_program: NewProgram, n: int, n_logprobs: int, max_tokens: int, max_rows: int
) -> None:
    """A model that is made to say the prompt tells the same bits of each token."""
    params = SamplingParams(max_tokens=n, temperature=0, logprobs=n_logprobs)
    outputs = list(Engine(new_program()).generate([Request([5], params)]))
    text = [5, *(o.token for o in outputs)]
    engine = Engine(new_program(max_tokens=max_tokens, max_rows=max_rows))
    scored = Request(
        text,  # type: ignore[arg-type]
        SamplingParams(max_tokens=2),
        prompt_logprobs=n_logprobs,
    )
    first, second = engine.generate([scored])
    assert second.prompt_logprobs == ()
    assert first.prompt_logprobs[0] == (5, None, ())
    assert [tuple(one) for one in first.prompt_logprobs[1:]] == [
        (o.token, o.logprob, o.top_logprobs) for o in outputs
    ]


def test_unlikely_tokens_have_theirs_too(new_program: NewProgram) -> None:
    program = new_program()
    engine = Engine(program)
    (output,) = engine.generate([Request(PROMPT, SamplingParams(max_tokens=1), prompt_logprobs=40)])
    for n, (token, logprob, best) in enumerate(output.prompt_logprobs):
        assert token == PROMPT[n]
        if n:
            assert dict(best)[token] == logprob


def test_samples_all_have_them(new_program: NewProgram) -> None:
    engine = Engine(new_program(max_rows=3))
    request = Request(PROMPT, SamplingParams(max_tokens=2), samples=3, prompt_logprobs=0)
    engine.add_samples(request)
    told = [o.prompt_logprobs for o in run(engine) if o.prompt_logprobs]
    assert len(told) == 3
    assert told[0] == told[1] == told[2]
    assert len(told[0]) == 41


def test_decoding_goes_on_beside_them(new_program: NewProgram) -> None:
    """Rows are few: everybody who decodes has one first."""
    engine = Engine(new_program(max_rows=3))
    names = [engine.add(Request([i], SamplingParams(max_tokens=40))) for i in range(2)]
    engine.step()
    engine.add(Request(PROMPT, embed="mean"))
    for _ in range(39):
        given = {o.request_id for o in engine.step()}
        assert given >= set(names)


def test_broken_logits_of_a_prompt_are_an_error(new_program: NewProgram) -> None:
    program = new_program()
    program.broken_after = 10
    engine = Engine(program)
    engine.add(Request(PROMPT, prompt_logprobs=0))
    (output,) = run(engine)
    assert output.finish_reason == "error"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request([1] * 97, embed="mean"), "97 tokens"),
        (Request([1], embed="max"), "embed is 'max'"),  # type: ignore[arg-type]
        (Request([1], embed="mean", samples=2), "no output"),
        (Request([1], embed="mean", prompt_logprobs=2), "no output"),
        (Request([1], prompt_logprobs=129), "prompt_logprobs is 129"),
        (Request([1], prompt_logprobs=-1), "prompt_logprobs is -1"),
    ],
)
def test_what_has_no_meaning_is_refused(
    new_program: NewProgram, request_: Request, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        Engine(new_program()).add(request_)


def test_a_model_without_hidden_states_has_no_embeddings(new_program: NewProgram) -> None:
    with pytest.raises(RequestError, match="no hidden state"):
        Engine(new_program(hidden_size=0)).add(Request([1], embed="last"))
