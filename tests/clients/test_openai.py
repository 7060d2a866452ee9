"""OpenAI's own client for Python: chat, models, embeddings, and leaving early."""

from __future__ import annotations

import asyncio
import struct
from base64 import b64decode
from itertools import pairwise
from math import fsum
from typing import Any

import pytest

from tests.clients.subjects import MODEL, WHO, problem, until_idle, until_running, user
from tests.serving import Served

openai = pytest.importorskip("openai", reason="needs the openai package")

ENDLESS: dict[str, Any] = {"extra_body": {"ignore_eos": True}, "max_completion_tokens": 900}
"""An answer that nobody waits for."""


def answer(client: Any, text: str, **options: Any) -> str:
    """The text of a whole answer."""
    found = client.chat.completions.create(model=MODEL, messages=[user(text)], **options)
    content = found.choices[0].message.content
    assert isinstance(content, str)
    return content


def test_an_answer_is_whole(client: Any) -> None:
    found = client.chat.completions.create(model=MODEL, messages=[user(problem())])
    assert found.object == "chat.completion"
    assert found.model == MODEL
    assert found.id
    assert found.system_fingerprint
    (choice,) = found.choices
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.message.tool_calls is None
    assert choice.message.refusal is None
    usage = found.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens > 0
    assert found._request_id, "the SDK shows the id of the request"


def test_a_stream_is_the_same_answer_in_pieces(client: Any) -> None:
    messages = [user(problem())]
    whole = client.chat.completions.create(model=MODEL, messages=messages)
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    *pieces, last = chunks
    assert last.choices == []
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    assert last.usage.prompt_tokens == whole.usage.prompt_tokens
    assert all(piece.usage is None for piece in pieces)
    assert {chunk.id for chunk in chunks} == {last.id}
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert all(piece.choices[0].finish_reason is None for piece in pieces[:-1])
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == whole.choices[0].message.content
    assert len(pieces) > 3, "pieces come as they are made"


def test_the_streaming_helper_assembles_the_answer(client: Any) -> None:
    text = problem()
    with client.chat.completions.stream(model=MODEL, messages=[user(text)]) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "".join(deltas) == answer(client, text)


def test_the_asynchronous_client(served: Served, client: Any) -> None:
    text = problem()

    async def both() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as aclient:
            options: dict[str, Any] = {"model": MODEL, "messages": [user(text)]}
            whole, stream = await asyncio.gather(
                aclient.chat.completions.create(**options),
                aclient.chat.completions.create(**options, stream=True),
            )
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return whole.choices[0].message.content, "".join(pieces)

    whole, streamed = asyncio.run(both())
    assert whole == streamed == answer(client, text)


def test_conversations_and_parts_of_text(client: Any) -> None:
    parts = [{"type": "text", "text": WHO[:4]}, {"type": "text", "text": WHO[4:]}]
    found = client.chat.completions.create(model=MODEL, messages=[user(parts)])  # type: ignore[arg-type]
    first = found.choices[0].message
    assert first.content == answer(client, WHO)
    again = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "developer", "content": "Be short."},
            user(WHO),
            first.model_dump(exclude_none=True),
            user(problem()),
        ],
    )
    assert again.choices[0].message.content
    assert again.usage.prompt_tokens > found.usage.prompt_tokens


def test_samples_are_those_of_the_following_seeds(client: Any) -> None:
    text = problem()
    drawn = client.chat.completions.create(
        model=MODEL, messages=[user(text)], n=3, seed=41, temperature=1.5
    )
    assert [choice.index for choice in drawn.choices] == [0, 1, 2]
    alone = [answer(client, text, seed=41 + i, temperature=1.5) for i in range(3)]
    assert [choice.message.content for choice in drawn.choices] == alone


def test_samples_of_a_stream_keep_apart(client: Any) -> None:
    options = {"n": 3, "seed": 7, "temperature": 1.5}
    messages = [user(problem())]
    whole = client.chat.completions.create(model=MODEL, messages=messages, **options)
    texts, ends = ["", "", ""], [0, 0, 0]
    for chunk in client.chat.completions.create(
        model=MODEL, messages=messages, stream=True, **options
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            ends[choice.index] += choice.finish_reason is not None
    assert texts == [choice.message.content for choice in whole.choices]
    assert ends == [1, 1, 1]


def test_a_stop_text_ends_the_answer_and_is_not_in_it(client: Any) -> None:
    text = problem()
    plain = answer(client, text)
    middle = len(plain) // 2
    stop = plain[middle : middle + 5]
    found = client.chat.completions.create(
        model=MODEL, messages=[user(text)], stop=[stop, "never in any answer"]
    )
    assert found.choices[0].finish_reason == "stop"
    assert found.choices[0].message.content == plain[: plain.index(stop)]
    assert answer(client, text, stop=stop) == plain[: plain.index(stop)]


@pytest.mark.parametrize("field", ["max_completion_tokens", "max_tokens"])
def test_an_answer_has_no_more_tokens_than_asked(client: Any, field: str) -> None:
    messages = [user(problem())]
    found = client.chat.completions.create(model=MODEL, messages=messages, **{field: 3})
    assert found.choices[0].finish_reason == "length"
    assert found.usage.completion_tokens == 3


def test_log_probabilities_tell_of_each_token(client: Any) -> None:
    found = client.chat.completions.create(
        model=MODEL, messages=[user(problem())], logprobs=True, top_logprobs=4
    )
    content = found.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in content).decode() == (
        found.choices[0].message.content
    )
    for token in content:
        assert token.logprob <= 0
        values = [other.logprob for other in token.top_logprobs]
        assert len(values) == 4
        assert all(a >= b for a, b in pairwise(values))
        assert token.top_logprobs[0].token == token.token, "greedy takes the likeliest"
        assert token.top_logprobs[0].logprob == token.logprob


def test_log_probabilities_of_a_stream_are_the_same(client: Any) -> None:
    options: dict[str, Any] = {"logprobs": True, "top_logprobs": 2, "max_completion_tokens": 20}
    messages = [user(problem())]
    whole = client.chat.completions.create(model=MODEL, messages=messages, **options)
    streamed = [
        token
        for chunk in client.chat.completions.create(
            model=MODEL, messages=messages, stream=True, **options
        )
        for choice in chunk.choices
        if choice.logprobs and choice.logprobs.content
        for token in choice.logprobs.content
    ]
    assert streamed == whole.choices[0].logprobs.content


def test_a_bias_moves_tokens(served: Served, client: Any) -> None:
    seven = served.post("/tokenize", {"model": MODEL, "prompt": "7", "add_special_tokens": False})
    (token,) = seven.json()["tokens"]
    options: dict[str, Any] = {"logit_bias": {str(token): 100}, "max_completion_tokens": 6}
    assert answer(client, problem(), **options) == "7" * 6
    never = answer(client, "What is 3 + 4?", logit_bias={str(token): -100}, max_tokens=60)
    assert "7" not in never


def test_parameters_beyond_openais(client: Any) -> None:
    text = problem()
    plain = answer(client, text)
    assert answer(client, text, temperature=1.0, extra_body={"top_k": 1}) == plain
    assert answer(client, text, temperature=1.0, extra_body={"min_p": 1.0}) == plain
    found = client.chat.completions.create(
        model=MODEL,
        messages=[user(WHO)],
        max_completion_tokens=150,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        extra_body={"min_tokens": 150, "repetition_penalty": 1.1},
    )
    assert found.usage.completion_tokens == 150


def test_fields_that_cannot_matter_here_are_taken(client: Any) -> None:
    text = problem()
    extra: dict[str, Any] = {"user": "ann", "store": False, "metadata": {"a": "b"}}
    assert answer(client, text, **extra) == answer(client, text)


def test_models(client: Any) -> None:
    (model,) = client.models.list()
    assert (model.id, model.object) == (MODEL, "model")
    assert client.models.retrieve(MODEL) == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("unheard-of")
    assert caught.value.code == "model_not_found"


def test_embeddings(client: Any) -> None:
    texts = [problem(), WHO]
    # Left to itself the SDK asks for base64 and turns it into numbers.
    found = client.embeddings.create(model=MODEL, input=texts)
    assert [item.index for item in found.data] == [0, 1]
    assert found.usage.prompt_tokens == found.usage.total_tokens > 0
    as_numbers = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    as_text = client.embeddings.create(model=MODEL, input=texts, encoding_format="base64")
    for item, numbers, text in zip(found.data, as_numbers.data, as_text.data, strict=True):
        data = b64decode(text.embedding)
        single = struct.unpack(f"<{len(data) // 4}f", data)
        assert single == struct.unpack(
            f"<{len(single)}f", struct.pack(f"<{len(single)}f", *numbers.embedding)
        )
        assert tuple(item.embedding) == single
        assert fsum(x * x for x in single) == pytest.approx(1, abs=1e-5), "of length one"
    alone = client.embeddings.create(model=MODEL, input=WHO)
    assert alone.data[0].embedding == found.data[1].embedding


def test_a_closed_stream_frees_the_engine(served: Served, client: Any) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=[user(WHO)], stream=True, **ENDLESS
    )
    next(iter(stream))
    stream.close()
    until_idle(served)


def test_a_client_without_patience_frees_the_engine(served: Served, client: Any) -> None:
    until_idle(served)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(
            model=MODEL, messages=[user(WHO)], n=8, temperature=1.0, **ENDLESS
        )
    until_idle(served)


def test_a_cancelled_task_frees_the_engine(served: Served) -> None:
    async def leave() -> None:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
            task = asyncio.create_task(
                client.chat.completions.create(
                    model=MODEL, messages=[user(WHO)], n=8, temperature=1.0, **ENDLESS
                )
            )
            await asyncio.to_thread(until_running, served)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    until_idle(served)
    asyncio.run(leave())
    until_idle(served)
