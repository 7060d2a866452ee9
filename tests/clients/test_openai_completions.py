"""OpenAI's client on plain texts: strings and token ids, one or several, and their echo."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.subjects import MODEL, problem
from tests.serving import Served

openai = pytest.importorskip("openai", reason="needs the openai package")


def tokens(served: Served, text: str) -> list[int]:
    found: list[int] = served.post("/tokenize", {"model": MODEL, "prompt": text}).json()["tokens"]
    return found


def test_texts_and_token_ids_are_continued_alike(served: Served, client: Any) -> None:
    texts = [problem(), problem()]
    ids = [tokens(served, text) for text in texts]
    options: dict[str, Any] = {
        "model": MODEL,
        "max_tokens": 12,
        "extra_body": {"min_tokens": 12},
    }
    alone = [client.completions.create(prompt=text, **options).choices[0].text for text in texts]
    assert all(alone)
    by_ids = [client.completions.create(prompt=row, **options).choices[0].text for row in ids]
    assert by_ids == alone
    for prompt in (texts, ids):
        found = client.completions.create(prompt=prompt, **options)
        assert [choice.text for choice in found.choices] == alone
        assert [choice.index for choice in found.choices] == [0, 1]
        assert found.usage.prompt_tokens == sum(map(len, ids))


def test_a_stream_of_several_prompts(client: Any) -> None:
    options: dict[str, Any] = {"model": MODEL, "prompt": [problem(), problem()], "max_tokens": 12}
    whole = client.completions.create(**options)
    texts = ["", ""]
    usage: Any = None
    for chunk in client.completions.create(
        **options, stream=True, stream_options={"include_usage": True}
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
        usage = chunk.usage or usage
    assert texts == [choice.text for choice in whole.choices]
    assert usage.prompt_tokens == whole.usage.prompt_tokens
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_an_echo_begins_with_the_prompt(client: Any) -> None:
    text = problem()
    plain = client.completions.create(model=MODEL, prompt=text, max_tokens=8).choices[0].text
    echoed = client.completions.create(model=MODEL, prompt=text, max_tokens=8, echo=True)
    assert echoed.choices[0].text == text + plain


def test_log_probabilities_with_the_prompts_own(served: Served, client: Any) -> None:
    text = problem()
    found = client.completions.create(model=MODEL, prompt=text, max_tokens=4, echo=True, logprobs=2)
    logprobs = found.choices[0].logprobs
    # The token that ends an answer is counted, but has no place in its text.
    ended = found.choices[0].finish_reason == "stop"
    count = len(tokens(served, text)) + found.usage.completion_tokens - ended
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == count
    assert "".join(logprobs.tokens) == found.choices[0].text
    assert logprobs.token_logprobs[0] is None, "nothing stands before the first token"
    assert all(value <= 0 for value in logprobs.token_logprobs[1:])
    assert logprobs.text_offset[0] == 0
    starts = [sum(map(len, logprobs.tokens[:i])) for i in range(count)]
    assert logprobs.text_offset == starts


def test_a_prompt_is_scored_without_an_answer(client: Any) -> None:
    text = problem()
    found = client.completions.create(model=MODEL, prompt=text, max_tokens=0, echo=True, logprobs=1)
    assert found.choices[0].text == text
    assert found.usage.completion_tokens == 0
    assert len(found.choices[0].logprobs.tokens) == found.usage.prompt_tokens


def test_samples(client: Any) -> None:
    options: dict[str, Any] = {"model": MODEL, "prompt": problem(), "max_tokens": 10}
    drawn = client.completions.create(**options, n=3, seed=5, temperature=1.5)
    alone = [
        client.completions.create(**options, seed=5 + i, temperature=1.5).choices[0].text
        for i in range(3)
    ]
    assert [choice.text for choice in drawn.choices] == alone
    best = client.completions.create(**options, n=1, best_of=3, seed=5, temperature=1.5)
    assert best.choices[0].text in alone


def test_a_suffix_is_refused(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt="1 + 1", suffix="= 2")
    assert caught.value.param == "suffix"
